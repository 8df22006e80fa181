"""Keeps the records that pages of results are written from, without what these do not need.

    python -m benchmarks.kept FOLDER NAME

The records of a folder of results of an experiment are written to `benchmarks/results/NAME.nc`
without pictures, in float32, and with three digits of what was measured of every image. Of a sweep
over bottlenecks or betas the seeds are kept of which all runs are done, beside the other ones that
the file has already, so that seeds may be trained on several days and machines. Records of learning
dynamics compare all models with each other: they replace those of which they have all runs. The
tests of pages read these files.
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
# Settings that do not change a run, and those that a sweep of learning dynamics grows by.
_VARIED = ("seeds", "members", "layout")
_GROWN = ("objectives", "values")
_RUN = ("objective", "value", "seed")
_MADE = ("began", "ended", "machine", "device", "versions")


def keep(folder: Path, name: str, results: Path = RESULTS) -> Path:
    """Write the records of a folder of results to a file of this name, and return its path.

    Raises:
        ValueError: for records that are not those of these experiments or of which nothing says
            what made them, no seed of which all runs are done, no models that were compared, and a
            file of this name that has other records, or runs of other settings.
    """
    groups, made = _groups(folder / "records.nc"), made_by(folder)
    if not made:
        raise ValueError(f"expected notes on what made these results, got none in {folder}/made")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings = {key: value for key, value in config.items() if key not in _VARIED}
    told = {key: made[key] for key in _MADE}
    told["settings"] = json.dumps(settings, sort_keys=True)
    kept = {place: _needed(group, folder).assign_attrs(told) for place, group in groups.items()}
    path = results / f"{name}.nc"
    if path.exists():
        earlier = _groups(path)
        if _contents(earlier) != _contents(kept):
            raise ValueError(f"expected a name of these records, got {name}, which has others")
        kept = {place: _with_earlier(group, earlier[place]) for place, group in kept.items()}
    encoding = {place: _encoding(group) for place, group in kept.items()}
    tree = xr.DataTree.from_dict(kept)
    write_whole(path, lambda file: tree.to_netcdf(file, encoding=encoding))
    return path


def _groups(file: Path) -> dict[str, xr.Dataset]:
    """Records by their place in a file."""
    with xr.open_datatree(file) as opened:
        return {node.path: node.to_dataset().load() for node in opened.leaves}


def _contents(groups: dict[str, xr.Dataset]) -> dict[str, set[Any]]:
    """What tells records of one experiment from those of others."""
    return {place: set(group.variables) for place, group in groups.items()}


def _needed(records: xr.Dataset, folder: Path) -> xr.Dataset:
    """What conclusions are drawn from; of sweeps over seeds, the seeds that are done."""
    if "debiased_cka_between" in records:
        if records["debiased_cka_between"].isnull().all():
            raise ValueError(f"expected models that were compared, got none in {folder}")
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


def _with_earlier(records: xr.Dataset, earlier: xr.Dataset) -> xr.Dataset:
    """The records, and the seeds of earlier ones that they lack."""
    grown = _GROWN if "run" in records.dims else ()
    before, now = (_fixed(one, grown) for one in (earlier, records))
    if before != now:
        raise ValueError(f"expected settings {before}, got {now}")
    if grown:
        if lacking := _runs(earlier) - _runs(records):
            raise ValueError(f"expected all runs of the file, got none of {sorted(lacking)}")
        return records
    left = earlier.sel(seed=~earlier["seed"].isin(records["seed"]))
    if left.sizes["seed"] == 0:
        return records
    both = xr.concat(
        [records, left],
        "seed",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="exact",
    )
    # How the seeds of both folders were made.
    told = {
        key: "; ".join(dict.fromkeys("; ".join([earlier.attrs[key], both.attrs[key]]).split("; ")))
        for key in _MADE
    }
    # Two machines may train two judges of generated images: what the worse one is worth holds.
    worse = min((records, earlier), key=lambda one: one.attrs.get("judge_accuracy", 0.0))
    told |= {key: value for key, value in worse.attrs.items() if key.startswith("judge_accuracy")}
    return both.sortby("seed").assign_attrs(told)


def _fixed(records: xr.Dataset, grown: tuple[str, ...]) -> dict[str, Any]:
    """What records that are kept together have in common."""
    settings = json.loads(records.attrs.get("settings", "{}"))
    return {key: value for key, value in settings.items() if key not in grown}


def _runs(records: xr.Dataset) -> set[tuple[Any, ...]]:
    return set(zip(*(records[field].values.tolist() for field in _RUN), strict=True))


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
