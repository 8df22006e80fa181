"""What is known of every model, and all of it as one labelled data set."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from experiments.learning_dynamics.grid import Config, Model, Place, models, points_of
from experiments.records import is_written, read_arrays, record_file, unrecorded
from jaxvae.analysis.dynamics import SIMILARITIES
from jaxvae.runs import checkpoint

REPLICATE = "replicate"  # in the folder of a model: as snapshots are, after another last epoch
_RECORDED = ("reconstruction", "kl", "kl_per_latent", "active_units")


def recorded(config: Config, folder: Path) -> list[dict[str, np.ndarray]]:
    """The records of a model, epoch by epoch."""
    return [read_arrays(record_file(folder, epoch)) for epoch in config.measured]


def has_failed(records: list[dict[str, np.ndarray]]) -> bool:
    """Whether a model stopped at a loss that is not finite."""
    return not all(np.isfinite(record["reconstruction"]) for record in records)


def kept_models(config: Config, folder: Path) -> list[Model]:
    """The models of a place that were trained to the end."""
    return [m for m in models(config) if not has_failed(recorded(config, folder / m.name))]


def missing_epochs(config: Config, folder: Path, group: list[Model]) -> set[int]:
    """The epochs at which some model of a group has no record, or a damaged snapshot."""
    return {
        epoch
        for model in group
        for epoch in (
            *unrecorded(folder / model.name, config.measured, _RECORDED),
            *checkpoint.damaged_steps(folder / model.name / "snapshots"),
        )
    }


def lacks_replicate(config: Config, folder: Path, group: list[Model]) -> bool:
    """Whether some model of a group was not yet trained again over its last epoch."""
    places = [folder / model.name / REPLICATE for model in group]
    return not all(
        config.epochs in checkpoint.steps(place)
        and config.epochs not in checkpoint.damaged_steps(place)
        for place in places
    )


def unfinished_models(config: Config, folder: Path) -> list[Model]:
    """Those of a place that lack a record or a replicate."""
    return [
        model
        for model in models(config)
        if missing_epochs(config, folder, [model]) or lacks_replicate(config, folder, [model])
    ]


def similarity_file(folder: Path) -> Path:
    """How alike the layers and epochs of a model are, in its folder."""
    return folder / "similarity.npz"


def between_file(folder: Path) -> Path:
    """How alike the models of a place are, in its folder."""
    return folder / "between.npz"


def has_similarities(config: Config, folder: Path, model: Model) -> bool:
    """Whether the layers and epochs of a model were compared with each other."""
    names = [
        name + suffix
        for name in points_of(config, model.seed)
        for suffix in ("", "_replicate", "_null")
    ]
    return is_written(similarity_file(folder / model.name), ["layer", *names])


def is_compared(config: Config, place: Place, out: Path) -> bool:
    """Whether all models of a place were compared, each in itself and with each other."""
    folder = place.folder(out)
    file = between_file(folder)
    if not is_written(file, ["model", *points_of(config, 0)]):
        return False
    kept = kept_models(config, folder)
    return read_arrays(file)["model"].tolist() == [model.name for model in kept] and all(
        has_similarities(config, folder, model) for model in kept
    )


def gather(config: Config, place: Place, folder: Path) -> xr.Dataset:
    """All that was found of one data set and network, labelled."""
    group = models(config)
    epochs = [recorded(config, folder / model.name) for model in group]
    kept = [model for model, records in zip(group, epochs, strict=True) if not has_failed(records)]
    within = {model: read_arrays(similarity_file(folder / model.name)) for model in kept}
    between = read_arrays(between_file(folder))
    layers = next(iter(within.values()))["layer"].tolist()
    pairs = ("epoch", "layer", "other_epoch", "other_layer")
    variables: dict[str, Any] = {
        name: (
            ("run", "epoch", *(("latent",) if name == "kl_per_latent" else ())),
            np.array([[record[name] for record in run] for run in epochs]),
        )
        for name in epochs[0][0]
    }
    variables["failed"] = ("run", [model not in kept for model in group])
    for name in SIMILARITIES:
        for suffix, dims in (("", pairs), ("_replicate", ("layer",)), ("_null", ("layer",))):
            sizes = {"epoch": len(config.measured), "layer": len(layers)}
            empty = np.full([sizes[dim.removeprefix("other_")] for dim in dims], np.nan)
            found = [within.get(model, {}).get(name + suffix, empty) for model in group]
            variables[name + suffix] = (("run", *dims), np.array(found))
        matrix = np.full((len(layers), len(group), len(group)), np.nan)
        if name in between:
            places = np.array([group.index(model) for model in kept])
            matrix[:, places[:, None], places] = between[name]
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
