"""The measurements of all models of a data set and network, as one labelled data set."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from experiments.learning_dynamics.comparing import BETWEEN, between_file
from experiments.learning_dynamics.config import (
    Config,
    DataAndNetwork,
    Model,
    models,
    points_of,
    run_name,
)
from jaxvae.analysis.dynamics import SIMILARITIES
from jaxvae.files.numpy_files import read_members
from jaxvae.sweeps.records import Arrays, over_runs

_BY_EPOCH = (
    *("reconstruction", "kl", "kl_per_latent", "active_units"),
    *("active_latents", "mixed_latents", "passive_latents"),
)
# What is measured at the end is named by a similarity and what follows it.
_PAIRS = ("epoch", "layer", "other_epoch", "other_layer")
_AT_END = {
    f"{name}{suffix}": dims
    for name in SIMILARITIES
    for suffix, dims in (("", _PAIRS), ("_replicate", ("layer",)), ("_null", ("layer",)))
}


def gather(config: Config, group: DataAndNetwork, out: Path) -> xr.Dataset | None:
    """The measurements of all models that are done; None if none was trained to its end."""
    grid = models(config)
    names = [run_name(group, model) for model in grid]
    arrays = over_runs(out, names, [*_BY_EPOCH, *_AT_END, "epoch", "failed", "layer"])
    if "layer" not in arrays:
        return None
    done = np.flatnonzero(arrays["epoch"].any(axis=1))
    arrays = {name: values[done] for name, values in arrays.items()}
    grid, names = [grid[index] for index in done], [names[index] for index in done]
    failed = arrays["failed"].any(axis=1)
    layers = arrays["layer"][~failed][0].tolist()
    variables = _variables(arrays)
    matrix = _between(between_file(out, group), names, len(layers))
    variables[f"{BETWEEN}_between"] = (("layer", "run", "other_run"), matrix)
    labels = {
        f"{prefix}{field}": (f"{prefix}run", [getattr(model, field) for model in grid])
        for field in Model._fields
        for prefix in ("", "other_")
    }
    return xr.Dataset(
        {"failed": ("run", failed), **variables},
        coords={
            **labels,
            "epoch": list(config.measured),
            "other_epoch": list(config.measured),
            "layer": layers,
            "other_layer": layers,
        },
        attrs={
            "data": group.data,
            "network": group.network,
            "units": "reconstruction and kl: nats per held-out image",
            **{f"points_{name}": points for name, points in points_of(config, 0).items()},
        },
    )


def _variables(arrays: Arrays) -> dict[str, Any]:
    """The measurements of the runs, with their dimensions."""
    variables: dict[str, Any] = {}
    for name in _BY_EPOCH:
        latent = ("latent",) * (name == "kl_per_latent")
        variables[name] = (("run", "epoch", *latent), arrays[name])
    known = {name: inner for name, inner in _AT_END.items() if name in arrays}
    return variables | {name: (("run", *inner), arrays[name]) for name, inner in known.items()}


def _between(file: Path, names: list[str], layers: int) -> np.ndarray:
    """`[layer, run, run]`; NaN for runs that are not among those that were compared."""
    matrix = np.full((layers, len(names), len(names)), np.nan)
    arrays = read_members(file, ("model", BETWEEN)) if file.is_file() else {}
    if BETWEEN in arrays:
        compared = arrays["model"].tolist()
        known = [name for name in names if name in compared]
        here, there = ([every.index(name) for name in known] for every in (names, compared))
        matrix[np.ix_(range(layers), here, here)] = arrays[BETWEEN][:, there][:, :, there]
    return matrix
