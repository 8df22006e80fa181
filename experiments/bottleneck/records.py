"""All that is known of the runs, as one labelled data set."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from experiments.bottleneck.between_models import SPACES, widened
from experiments.bottleneck.config import Config, compared_seeds, run_name, runs
from experiments.bottleneck.measuring import dimension_scale
from jaxvae.analysis import gaussian_dimension
from jaxvae.files.numpy_files import read_members
from jaxvae.sweeps.records import over_runs
from jaxvae.sweeps.sweep import Afterwards, Sweep

_RUN = ("bottleneck", "seed")
_COMPARED = ("bottleneck", "compared_seed", "other_bottleneck", "other_seed")
_BETWEEN = "imbalance_between"
_PIXELS = ("example", "height", "width", "channel")
# What is recorded of every run and epoch, and of the end, with the dimensions of its own.
_BY_EPOCH = {
    **dict.fromkeys(("intrinsic_dimension", "intrinsic_dimension_stderr"), ("layer",)),
    "distinct_points": ("layer",),
    "imbalance": ("layer", "other_layer"),
    **dict.fromkeys(("reconstruction", "kl", "active_units", "failed"), ()),
}
_AT_END = dict.fromkeys(
    ("scale_dimension", "scale_dimension_stderr", "scale_radius"), ("layer", "far_neighbor")
)
# Pictures are read of one seed alone: what is drawn of them does not grow with the sweep.
_EXAMPLES = ("example_reconstruction", "example_sample", "example_input")


def gather(config: Config, sweep: Sweep) -> xr.Dataset:
    """The records of all runs as one labelled data set; `missing` tells which are not done."""
    out = sweep.out
    names, sizes = list(runs(config)), (len(config.bottlenecks), len(config.seeds))
    arrays = over_runs(out, names, [*_BY_EPOCH, *_AT_END, "layer", "far_neighbor", "epoch"])
    measured = arrays["epoch"].any(axis=1)
    first = int(np.flatnonzero(measured)[0])
    by_epoch = {name: ((*_RUN, "epoch", *inner), arrays[name]) for name, inner in _BY_EPOCH.items()}
    at_end = {
        name: ((*_RUN, *inner), arrays[name]) for name, inner in _AT_END.items() if name in arrays
    }
    layers = arrays["layer"][first]
    coords = {
        "bottleneck": list(config.bottlenecks),
        "seed": list(config.seeds),
        "epoch": list(config.measured_epochs),
        "layer": layers,
        "other_layer": layers,
    }
    if at_end:
        coords["far_neighbor"] = arrays["far_neighbor"].max(axis=0)
    records = xr.Dataset(
        {
            name: (dims, values.reshape(*sizes, *values.shape[1:]))
            for name, (dims, values) in {**by_epoch, **at_end, "missing": (_RUN, ~measured)}.items()
        },
        coords=coords,
        attrs={
            "data": config.data,
            "network": config.network,
            "points": config.points,
            "units": "reconstruction and kl: nats per image, over the whole test split",
            "estimators": "intrinsic_dimension: TwoNN, 10% discarded; imbalance: k = 1",
        },
    )
    records = _with_derived(_with_examples(records, config, out), config.points)
    (between,) = sweep.afterwards
    return _with_between(records, config, between) if between.is_done else records


def lacking(records: xr.Dataset) -> xr.DataArray:
    """The runs that are not done or have failed."""
    return records["failed"].any("epoch") | records["missing"]


def _with_examples(records: xr.Dataset, config: Config, out: Path) -> xr.Dataset:
    """Adds pictures of the first seed of every size that is done and has not failed."""
    lacks = lacking(records).transpose(*_RUN).values
    firsts = np.array(config.seeds)[lacks.argmin(axis=1)]
    names = [run_name(*run) for run in zip(config.bottlenecks, firsts, strict=True)]
    arrays = over_runs(out, names, _EXAMPLES)
    if not arrays:
        return records
    inputs = arrays.pop("example_input")
    run = int(np.flatnonzero(inputs.reshape(len(inputs), -1).any(axis=1))[0])
    return records.assign(
        {name: (("bottleneck", *_PIXELS), values) for name, values in arrays.items()}
    ).assign(example_input=(_PIXELS, inputs[run]))


def _with_derived(records: xr.Dataset, points: int) -> xr.Dataset:
    """Adds the imbalance to and from input and output, and the ID of Gaussians of the same K."""
    imbalance = records["imbalance"]
    for name in ("input", "output"):
        records[f"imbalance_to_{name}"] = imbalance.sel(other_layer=name, drop=True)
        records[f"imbalance_from_{name}"] = imbalance.sel(layer=name, drop=True).rename(
            other_layer="layer"
        )
    key, sizes = jax.random.key(0), records["bottleneck"].values
    nulls = [gaussian_dimension(key, n=points, features=k, room=max(sizes)) for k in sizes]
    records["intrinsic_dimension_null"] = ("bottleneck", [mean for mean, _ in nulls])
    records["intrinsic_dimension_null_std"] = ("bottleneck", [std for _, std in nulls])
    if "scale_dimension" in records:
        random = np.random.default_rng(0)
        clouds = [
            widened(random.standard_normal((points, size), np.float32), max(sizes))
            for size in sizes
        ]
        scales = np.stack([dimension_scale(cloud).values for cloud in clouds])
        records["scale_dimension_null"] = (("bottleneck", "far_neighbor"), scales)
    return records


def _with_between(records: xr.Dataset, config: Config, between: Afterwards) -> xr.Dataset:
    """Adds Delta between models of the first seeds."""
    seeds, sizes = list(compared_seeds(config)), list(config.bottlenecks)
    values = read_members(between.file, (_BETWEEN,))[_BETWEEN]
    coords: dict[str, Any] = {
        "space": list(SPACES),
        "other_bottleneck": sizes,
        **dict.fromkeys(_COMPARED[1::2], seeds),
    }
    lengths = (len(SPACES), *(len(each) for each in (sizes, seeds) * 2))
    return records.assign_coords(coords).assign(
        {_BETWEEN: (("space", *_COMPARED), values.reshape(lengths))}
    )
