"""Keeps the records that pages of results are written from, without what these do not need.

    python -m benchmarks.kept FOLDER NAME

The records of a folder of results of an experiment are written to `benchmarks/results/NAME.nc`
without pictures, in float32, and with three digits of what was measured of every image. Of a sweep
over bottlenecks or betas the seeds are kept of which all runs are done, beside those that the
file has already, so that seeds may be trained on several days and machines. The tests of pages read
these files.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import xarray as xr

from jaxvae.commands.arguments.paths import as_path
from jaxvae.files.whole import write_whole
from jaxvae.runs.provenance import made_by

RESULTS = Path(__file__).parent / "results"
# What learning dynamics concludes from; of its similarities, those to the end.
_OF_DYNAMICS = (
    "failed",
    "reconstruction",
    "kl",
    "kl_per_latent",
    "active_latents",
    "mixed_latents",
    "passive_latents",
    "debiased_cka",
    "debiased_cka_replicate",
    "debiased_cka_between",
)
_OF_BOTTLENECKS = (
    "missing",
    "failed",
    "intrinsic_dimension",
    "intrinsic_dimension_stderr",
    "intrinsic_dimension_null",
    "imbalance_to_input",
    "reconstruction",
    "kl",
    "active_units",
)
# Settings that seeds which are kept together may differ in.
_VARIED = ("seeds", "members", "layout")
_MADE = ("began", "ended", "machine", "device", "versions")


def keep(folder: Path, name: str, results: Path = RESULTS) -> Path:
    """Write the records of a folder of results to a file of this name, and return its path.

    Raises:
        ValueError: for records that are not those of these experiments, no seed of which all runs
            are done, and seeds that were trained with other settings than those of the file.
    """
    with xr.open_datatree(folder / "records.nc") as opened:
        groups = {node.path: node.to_dataset().load() for node in opened.leaves}
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings = {key: value for key, value in config.items() if key not in _VARIED}
    made, path = made_by(folder), results / f"{name}.nc"
    told = {key: made[key] for key in _MADE}
    told["settings"] = json.dumps(settings, sort_keys=True)
    kept = {
        place: _with_earlier(_needed(group, folder).assign_attrs(told), path)
        for place, group in groups.items()
    }
    encoding = {place: _encoding(group) for place, group in kept.items()}
    tree = xr.DataTree.from_dict(kept)
    write_whole(path, lambda file: tree.to_netcdf(file, encoding=encoding))
    return path


def _needed(records: xr.Dataset, folder: Path) -> xr.Dataset:
    """What conclusions are drawn from; of sweeps over seeds, the seeds that are done."""
    if "debiased_cka_between" in records:
        return records[[*_OF_DYNAMICS]].isel(other_epoch=[-1])
    if "image_rates" in records:
        records = records.drop_dims("corner")
    elif "imbalance_to_input" in records:
        records = records[[*_OF_BOTTLENECKS]]
    else:
        raise ValueError(f"expected records of an experiment, got {folder / 'records.nc'}")
    others = [dim for dim in records["missing"].dims if dim != "seed"]
    records = records.isel(seed=~records["missing"].any(others).values)
    if records.sizes["seed"] == 0:
        raise ValueError(f"expected a seed of which all runs are done, got none in {folder}")
    return records


def _with_earlier(records: xr.Dataset, path: Path) -> xr.Dataset:
    """The records with the seeds of the file that they lack."""
    if "seed" not in records.dims or not path.exists():
        return records
    with xr.open_dataset(path) as opened:
        earlier = opened.load()
    if earlier.attrs["settings"] != records.attrs["settings"]:
        settings = (one.attrs["settings"] for one in (earlier, records))
        raise ValueError("expected settings {}, got {}".format(*settings))
    new = records.sel(seed=~records["seed"].isin(earlier["seed"]))
    both = xr.concat(
        [earlier, new],
        "seed",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="exact",
    )
    # How the seeds of both folders were made.
    told = {
        key: "; ".join(dict.fromkeys([earlier.attrs[key], records.attrs[key]])) for key in _MADE
    }
    return both.sortby("seed").assign_attrs(told)


def _encoding(records: xr.Dataset) -> dict[Any, dict[str, Any]]:
    encoding: dict[Any, dict[str, Any]] = {}
    for name, values in records.data_vars.items():
        if values.dtype.kind in "fib":
            encoding[name] = {"zlib": True, "complevel": 9}
        if values.dtype.kind == "f":
            encoding[name]["dtype"] = "float32"
            if {"image", "generated"} & set(values.dims):
                encoding[name]["significant_digits"] = 3
    return encoding


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=as_path, help="folder of results of an experiment")
    parser.add_argument("name", help="name of the file in benchmarks/results, without .nc")
    given = parser.parse_args()
    print(keep(given.folder, given.name))


if __name__ == "__main__":
    main()
