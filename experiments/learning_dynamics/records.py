"""All that is known of the models of a data set and network, labelled."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from experiments.learning_dynamics.grid import Config, Model, Place, models, points_of, run_name
from jaxvae.analysis.dynamics import SIMILARITIES
from jaxvae.sweeps.records import done_runs, over_runs, read_some

_BY_EPOCH = (
    *("reconstruction", "kl", "kl_per_latent", "active_units"),
    *("active_latents", "mixed_latents", "passive_latents"),
)
# Of the end: by name of a similarity and what follows it.
_PAIRS = ("epoch", "layer", "other_epoch", "other_layer")
_AT_END = {
    f"{name}{suffix}": dims
    for name in SIMILARITIES
    for suffix, dims in (("", _PAIRS), ("_replicate", ("layer",)), ("_null", ("layer",)))
}


def between_file(out: Path, place: Place) -> Path:
    """How alike the models of a place are."""
    return out / "between" / f"{place.name}.npz"


def gather(config: Config, place: Place, out: Path) -> xr.Dataset | None:
    """The models of a place that are done; None where none of them was trained to its end."""
    done = done_runs(out)
    group = [model for model in models(config) if run_name(place, model) in done]
    names = [run_name(place, model) for model in group]
    found = over_runs(out, names, [*_BY_EPOCH, *_AT_END, "failed", "layer"])
    if "layer" not in found:
        return None
    failed = found["failed"].any(axis=1)
    layers = found["layer"][~failed][0].tolist()
    sizes = {"epoch": len(config.measured), "layer": len(layers)}
    variables: dict[str, Any] = {"failed": ("run", failed)}
    for name in _BY_EPOCH:
        inner = ("latent",) if name == "kl_per_latent" else ()
        variables[name] = (("run", "epoch", *inner), found[name])
    for name, dims in _AT_END.items():
        shape = [sizes[dim.removeprefix("other_")] for dim in dims]
        unknown = np.full((len(group), *shape), np.nan)
        variables[name] = (("run", *dims), found.get(name, unknown))
    for name, matrix in _between(between_file(out, place), names, len(layers)).items():
        variables[f"{name}_between"] = (("layer", "run", "other_run"), matrix)
    labels = {
        f"{prefix}{field}": (f"{prefix}run", [getattr(model, field) for model in group])
        for field in Model._fields
        for prefix in ("", "other_")
    }
    return xr.Dataset(
        variables,
        coords={
            **labels,
            "epoch": list(config.measured),
            "other_epoch": list(config.measured),
            "layer": layers,
            "other_layer": layers,
        },
        attrs={
            "data": place.data,
            "network": place.network,
            "units": "reconstruction and kl: nats per held-out image",
            **{f"points_{name}": points for name, points in points_of(config, 0).items()},
        },
    )


def _between(file: Path, names: list[str], layers: int) -> dict[str, np.ndarray]:
    """`[layer, run, run]` by name; NaN for runs that are not among those that were compared."""
    found = read_some(file, ("model", *SIMILARITIES)) if file.is_file() else {}
    compared = found.get("model", np.array([])).tolist()
    known = [name for name in names if name in compared]
    here, there = ([every.index(name) for name in known] for every in (names, compared))
    matrices = {name: np.full((layers, len(names), len(names)), np.nan) for name in SIMILARITIES}
    for name in matrices.keys() & found.keys():
        matrices[name][:, np.c_[here], here] = found[name][:, np.c_[there], there]
    return matrices
