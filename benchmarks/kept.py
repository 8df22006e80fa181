"""Keeps the records that pages of results are written from, without what these do not need.

    python -m benchmarks.kept FOLDER NAME

Of a folder of `experiments.learning_dynamics` or `experiments.rate_allocation`, records.nc is
written to `benchmarks/results/NAME.nc` without pictures, in float32, and with three digits of what
was measured of every image.
Seeds of a grid of betas that the file has already stay, so that seeds may be trained on several
days and machines. The tests of pages read these files.
"""

import argparse
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
    "active_latents",
    "debiased_cka",
    "debiased_cka_replicate",
    "debiased_cka_between",
)


def keep(folder: Path, name: str, results: Path = RESULTS) -> Path:
    """Write the records of a folder of results to a file of this name, and return its path.

    Raises:
        ValueError: for records that are not those of these experiments, and seeds that were trained
            with other settings than those of the file.
    """
    with xr.open_datatree(folder / "records.nc") as opened:
        tree = opened.load()
    path = results / f"{name}.nc"
    groups = {node.path: node.to_dataset() for node in tree.leaves}
    if all("debiased_cka_between" in group for group in groups.values()):
        kept = {place: _of_dynamics(group) for place, group in groups.items()}
    elif all("image_rates" in group for group in groups.values()):
        kept = {place: _with_earlier(_of_rates(group), path) for place, group in groups.items()}
    else:
        raise ValueError(
            "expected records of experiments.learning_dynamics or experiments.rate_allocation, got "
            f"{folder}"
        )
    made = made_by(folder)
    told = {name: made[name] for name in ("began", "ended", "machine", "device", "versions")}
    kept = {place: group.assign_attrs(told) for place, group in kept.items()}
    encoding = {place: _encoding(group) for place, group in kept.items()}
    tree = xr.DataTree.from_dict(kept)
    write_whole(path, lambda file: tree.to_netcdf(file, encoding=encoding))
    return path


def _of_dynamics(records: xr.Dataset) -> xr.Dataset:
    return records[[*_OF_DYNAMICS]].isel(other_epoch=[-1])


def _of_rates(records: xr.Dataset) -> xr.Dataset:
    return records.drop_dims("corner")


def _with_earlier(records: xr.Dataset, path: Path) -> xr.Dataset:
    """The records with the seeds of the file that they lack."""
    if not path.exists():
        return records
    with xr.open_dataset(path) as opened:
        earlier = opened.load()
    new = records.sel(seed=~records["seed"].isin(earlier["seed"]))
    settings = [name for name in records.attrs if name in earlier.attrs]
    for name in settings:
        if name.startswith("judge_") or records.attrs[name] == earlier.attrs[name]:
            continue
        raise ValueError(f"expected {name} {earlier.attrs[name]}, got {records.attrs[name]}")
    both = xr.concat(
        [earlier, new],
        "seed",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="exact",
    )
    return both.sortby("seed")


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
