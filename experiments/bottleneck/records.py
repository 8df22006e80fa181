"""What is known of every run, and all of it as one labelled data set."""

from pathlib import Path

import jax
import numpy as np
import xarray as xr

from experiments.bottleneck.config import Config, Run, runs
from experiments.bottleneck.ends import AT_END, with_ends
from experiments.records import is_written, read_arrays, record_file, unrecorded
from jaxvae.analysis import gaussian_dimension

_PIXELS = ("height", "width", "channel")
# What is recorded of every run and epoch, with the dimensions that it has of its own.
_RECORDED = {
    "intrinsic_dimension": ("layer",),
    "intrinsic_dimension_stderr": ("layer",),
    "distinct_points": ("layer",),
    "imbalance": ("layer", "other_layer"),
    "reconstruction": (),
    "kl": (),
    "active_units": (),
    "failed": (),
    "example_reconstruction": ("example", *_PIXELS),
    "example_sample": ("example", *_PIXELS),
}
NAMES = {*_RECORDED, "layer", "example_input"}


def gather(config: Config, out: Path) -> xr.Dataset:
    """The records of all runs as one labelled data set."""
    found = [
        [
            [
                read_arrays(record_file(run_folder(out, Run(size, seed)), epoch))
                for epoch in config.measured_epochs
            ]
            for seed in range(config.seeds)
        ]
        for size in config.bottlenecks
    ]
    first = found[0][0][0]
    records = xr.Dataset(
        {
            name: (
                ("bottleneck", "seed", "epoch", *inner),
                np.array([[[record[name] for record in seed] for seed in size] for size in found]),
            )
            for name, inner in _RECORDED.items()
        },
        coords={
            "bottleneck": list(config.bottlenecks),
            "seed": range(config.seeds),
            "epoch": list(config.measured_epochs),
            "layer": first["layer"],
            "other_layer": first["layer"],
        },
        attrs={
            "data": config.data,
            "network": config.network,
            "points": config.points,
            "units": "reconstruction and kl: nats per image, over the whole test split",
            "estimators": "intrinsic_dimension: TwoNN, 10% discarded; imbalance: k = 1",
        },
    )
    ends = {run: end_file(run_folder(out, run)) for run in runs(config)}
    return with_ends(
        _with_derived(records, config.points).assign(
            example_input=(("example", *_PIXELS), first["example_input"])
        ),
        {run: read_arrays(file) for run, file in ends.items() if is_written(file, AT_END)},
    )


def _with_derived(records: xr.Dataset, points: int) -> xr.Dataset:
    """Adds the imbalance to and from input and output, and the Gaussian null."""
    imbalance = records["imbalance"]
    for name in ("input", "output"):
        records[f"imbalance_to_{name}"] = imbalance.sel(other_layer=name, drop=True)
        records[f"imbalance_from_{name}"] = imbalance.sel(layer=name, drop=True).rename(
            other_layer="layer"
        )
    key = jax.random.key(0)
    nulls = [
        gaussian_dimension(key, n=points, features=size) for size in records["bottleneck"].values
    ]
    records["intrinsic_dimension_null"] = ("bottleneck", [mean for mean, _ in nulls])
    records["intrinsic_dimension_null_std"] = ("bottleneck", [std for _, std in nulls])
    return records


def unfinished_runs(config: Config, out: Path) -> list[Run]:
    """Those that lack a record."""
    return [run for run in runs(config) if missing_epochs(config, out, run)]


def missing_epochs(config: Config, out: Path, run: Run) -> list[int]:
    """The epochs without a record; the last one too where `end_file` is absent, as of old."""
    folder, last = run_folder(out, run), config.epochs
    lacking = unrecorded(folder, config.measured_epochs, NAMES)
    if last in lacking or is_written(end_file(folder), AT_END):
        return lacking
    return lacking if read_arrays(record_file(folder, last))["failed"] else [*lacking, last]


def run_folder(out: Path, run: Run) -> Path:
    """Where its records and snapshots are."""
    return out / "runs" / run.name


def end_file(folder: Path) -> Path:
    """What is recorded at the last epoch alone, of a run that has not failed."""
    return folder / "end.npz"
