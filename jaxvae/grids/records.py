"""All that is known of the runs of a grid, as one labelled data set."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from jaxvae.grids.grid import Grid, coordinate, label, runs_of
from jaxvae.runs.config import RunConfig
from jaxvae.runs.run import snapshot_epochs
from jaxvae.runs.sweep_run import program_of
from jaxvae.sweeps.records import over_runs

# What is recorded of every run and epoch, with the dimensions of its own.
_DIMENSIONS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("reconstruction", "reconstruction_stderr", "kl", "kl_stderr", "failed"), ()),
    **dict.fromkeys(("cost_stderr", "training_cost", "training_cost_stderr"), ()),
    **dict.fromkeys(("rate", "rate_stderr", "active_units"), ("latent_layer",)),
    **dict.fromkeys(("active_latents", "mixed_latents", "passive_latents"), ("latent_layer",)),
    **dict.fromkeys(("intrinsic_dimension", "intrinsic_dimension_stderr"), ("layer",)),
    "distinct_points": ("layer",),
    "imbalance": ("layer", "other_layer"),
}
_LABELS = ("latent_layer", "layer")


class _Part(NamedTuple):
    """Runs of one program, which have the same layers.

    Attributes:
        places: their indices among all runs.
        found: what is recorded of them, `[runs, ...]` by name.
        labels: names of their layers, by dimension.
    """

    places: list[int]
    found: Mapping[str, np.ndarray]
    labels: Mapping[str, list[str]]


def gather(grid: Grid, out: Path) -> xr.Dataset:
    """The records of all runs as one labelled data set.

    Dimensions are the settings that a run has in its name, `seed` and `epoch`, then layers. A
    layer that some networks lack is NaN for them; `missing` tells which runs are not done.
    """
    parts = _parts(grid, out)
    labels = {
        name: merged(part.labels[name] for part in parts if name in part.labels) for name in _LABELS
    }
    run = (*map(label, grid.settings), "seed")
    epochs = snapshot_epochs(grid.epochs, grid.snapshots)
    sizes = (*map(len, grid.values.values()), len(grid.seeds))
    missing = np.ones(sizes, bool)
    for part in parts:
        missing.flat[part.places] = ~part.found["epoch"].any(axis=1)
    variables = {
        name: ((*run, "epoch", *inner), _whole(parts, name, (*sizes, len(epochs)), labels))
        for name, inner in _DIMENSIONS.items()
        if any(name in part.found for part in parts)
    }
    values = {label(name): coordinate(each) for name, each in grid.values.items()}
    layers = {name: each for name, each in labels.items() if each}
    return xr.Dataset(
        {**variables, "missing": (run, missing)},
        coords={**values, "seed": [*grid.seeds], "epoch": [*epochs], **layers}
        | ({"other_layer": labels["layer"]} if labels["layer"] else {}),
        attrs={
            "run": json.dumps(grid.run, default=list),
            "points": _measured(grid, variables, labels),
            "units": "reconstruction, kl and rate: nats per image, over all held-out images; "
            "training_cost: reconstruction and kl of up to 2,000 training images; cost_stderr: of "
            "the sum of reconstruction and kl",
            "estimators": "intrinsic_dimension: TwoNN, 10% discarded; imbalance: k = 1",
        },
    )


def _measured(
    grid: Grid, variables: Mapping[str, tuple[Any, np.ndarray]], labels: Mapping[str, list[str]]
) -> int:
    """The images that the geometry rests on: fewer than asked for where fewer are distinct."""
    if "distinct_points" not in variables or "input" not in labels["layer"]:
        return grid.points
    counts = variables["distinct_points"][1][..., labels["layer"].index("input")]
    known = counts[np.isfinite(counts) & (counts > 0)]
    return int(known.max()) if len(known) else grid.points


def merged(lists: Iterable[Sequence[str]]) -> list[str]:
    """Names of several lists, each in the order of its own: new ones after what they follow."""
    parts: list[str] = []
    for names in lists:
        position = 0
        for name in names:
            if name not in parts:
                parts.insert(position, name)
            position = parts.index(name) + 1
    return parts


def _parts(grid: Grid, out: Path) -> list[_Part]:
    """The runs of one program together with their arrays, where at least one of them is done."""
    runs = runs_of(grid)
    names = [*runs]
    indices: dict[RunConfig, list[int]] = {}
    for index, config in enumerate(runs.values()):
        indices.setdefault(program_of(config, 1), []).append(index)
    parts = []
    for some in indices.values():
        arrays = over_runs(out, [names[index] for index in some], [*_DIMENSIONS, *_LABELS, "epoch"])
        if arrays:
            first = int(np.flatnonzero(arrays["epoch"].any(axis=1))[0])
            labels = {name: arrays[name][first].tolist() for name in _LABELS if name in arrays}
            parts.append(_Part(some, arrays, labels))
    return parts


def _whole(
    parts: Sequence[_Part], name: str, outer: tuple[int, ...], labels: Mapping[str, list[str]]
) -> np.ndarray:
    """A quantity of all runs, with the dimensions of the grid and its own."""
    dimensions = [each.removeprefix("other_") for each in _DIMENSIONS[name]]
    inner = [len(labels[each]) for each in dimensions]
    some = [part for part in parts if name in part.found]
    kind = some[0].found[name].dtype
    runs, epochs = math.prod(outer[:-1]), outer[-1]
    whole = np.full((runs, epochs, *inner), np.nan if kind.kind == "f" else kind.type(), kind)
    for part in some:
        own = [[*map(labels[each].index, part.labels[each])] for each in dimensions]
        whole[np.ix_(part.places, range(epochs), *own)] = part.found[name]
    return whole.reshape(*outer, *inner)
