"""The page of learning dynamics, from its records."""

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr
from matplotlib.colors import to_hex

from experiments.learning_dynamics.figures import layer_colors
from experiments.learning_dynamics.selection import by_objective, to_final
from experiments.learning_dynamics.summary import CAPTION, dynamics_rows, findings, not_done
from jaxvae.report.page import Chart, Page, Table, Trace, settings_of
from jaxvae.report.traces import (
    MAP_NUMBERS,
    heat_map,
    line,
    shown_epochs,
    stderr_over,
    whole_axis,
)

_TITLE = "Learning dynamics"
_REST = "Hover for the mean over the models of an objective and its standard error"
# By name in the records; the last one is shown first.
_SIMILARITIES = {
    "imbalance": "information imbalance Δ(epoch → end)",
    "procrustes": "Procrustes similarity",
    "cka": "CKA",
    "debiased_cka": "debiased CKA",
}
# Attributes that count the images of a similarity.
_IMAGES = {
    "points_cka": "images for CKA",
    "points_debiased_cka": "images for debiased CKA",
    "points_procrustes": "images for Procrustes similarity",
    "points_imbalance": "images for information imbalance",
}
_SAME = (
    "CKA and Procrustes similarity are 1 for layers that are the same up to rotation and scale; "
    "Δ is near 0 where the nearest neighbors at the epoch are also near at the end, and near 1 "
    "where they are as far as any."
)


def dynamics_page(records: Sequence[xr.Dataset], *, missing: Sequence[str] = ()) -> Page:
    """The page of learning dynamics: its findings, and the similarity of layers to their end.

    Args:
        records: one for every data set and network.
        missing: names of runs that are not done, and not in the records.
    """
    plain = [
        sentence.strip().removeprefix("- ").replace("**", "") for sentence in findings(records)
    ]
    return Page(
        _TITLE,
        [*plain, *not_done(missing)],
        _settings(records),
        [_lines(records), _maps(records)],
        [Table("All objectives", dynamics_rows(records), CAPTION)],
    )


def _settings(records: Sequence[xr.Dataset]) -> dict[str, str]:
    """The settings of all data sets and networks; where they differ, one after another."""
    settings = [settings_of(group, _IMAGES) for group in records]
    names = dict.fromkeys(name for each in settings for name in each)
    return {
        name: ", ".join(dict.fromkeys(each[name] for each in settings if name in each))
        for name in names
    }


def _lines(records: Sequence[xr.Dataset]) -> Chart:
    traces = []
    for when, name, models in _measured(records):
        similarity = to_final(models, name)
        for layer, (color, style) in layer_colors(models["layer"].values.tolist()).items():
            curve = similarity.sel(layer=layer)
            null = np.full(curve.sizes["epoch"], _null(models, name, layer))
            drawn = line(
                models["epoch"].values.tolist(),
                curve.mean("run").values,
                stderr_over(curve, "run"),
                name=layer,
                color=to_hex(color),
                null=null,
            )
            drawn["line"] |= {"dash": "dash" if style == "--" else "solid"}
            traces.append(Trace(drawn, when))
    return Chart(
        "Similarity of every layer to its own final state",
        f"A layer at an epoch, compared with the same layer at the last epoch. {_SAME} {_REST}, "
        "and, where it was measured, the null: the value for the same layer with its examples "
        "shuffled. Procrustes similarity and Δ are of fewer images, and of the models of the first "
        "seeds.",
        traces,
        "epoch",
        "similarity",
        _choices(records) | {"similarity": _measured_similarities(records)},
        {"xaxis": whole_axis(_epochs(records))},
    )


def _maps(records: Sequence[xr.Dataset]) -> Chart:
    traces, groups = [], [*_groups(records)]
    per_epoch = sum(models.sizes["layer"] ** 2 for _, models in groups)
    epochs, note = shown_epochs(_epochs(records), per_epoch=per_epoch, most=MAP_NUMBERS)
    for when, models in groups:
        layers = models["layer"].values.tolist()
        last = models["debiased_cka"].isel(other_epoch=-1)
        for epoch in (each for each in epochs if each in models["epoch"]):
            similarity = last.sel(epoch=epoch).transpose("layer", "other_layer", "run")
            drawn = heat_map(
                layers,
                layers,
                similarity.mean("run").values,
                stderr_over(similarity, "run"),
                name="debiased CKA",
            )
            traces.append(Trace(drawn, when | {"epoch": str(epoch)}))
    return Chart(
        "Layers at an epoch against layers at the end",
        "Debiased CKA of the layer of the row, at the chosen epoch, with the layer of the column, "
        f"at the end. {_REST}.{note}",
        traces,
        "layer at the end",
        "layer at the epoch",
        _choices(records) | {"epoch": [str(epoch) for epoch in epochs]},
        {"yaxis": {"autorange": "reversed"}},
    )


def _groups(records: Sequence[xr.Dataset]) -> Iterator[tuple[dict[str, str], xr.Dataset]]:
    """The models of every data set, network and objective, with the choices that show them."""
    for group in records:
        for objective, models in by_objective(group):
            where = {name: str(group.attrs[name]) for name in ("data", "network")}
            yield where | {"objective": objective}, models


def _measured(
    records: Sequence[xr.Dataset],
) -> Iterator[tuple[dict[str, str], str, xr.Dataset]]:
    """Every similarity of the groups that have it, and the models of which it was measured."""
    for when, models in _groups(records):
        for name, title in _SIMILARITIES.items():
            if name in models:
                known = models[name].notnull().any([d for d in models[name].dims if d != "run"])
                if known.any():
                    yield when | {"similarity": title}, name, models.isel(run=np.flatnonzero(known))


def _measured_similarities(records: Sequence[xr.Dataset]) -> list[str]:
    """Their titles, in one order whichever models are done."""
    found = {name for _, name, _ in _measured(records)}
    return [title for name, title in _SIMILARITIES.items() if name in found]


def _choices(records: Sequence[xr.Dataset]) -> dict[str, list[str]]:
    groups = [when for when, _ in _groups(records)]
    names = ("data", "network", "objective")
    return {name: list(dict.fromkeys(when[name] for when in groups)) for name in names}


def _epochs(records: Sequence[xr.Dataset]) -> list[int]:
    """The measured epochs of all data sets and networks, ascending."""
    return sorted({epoch for group in records for epoch in group["epoch"].values.tolist()})


def _null(models: xr.Dataset, similarity: str, layer: str) -> float:
    """The null of the similarity of a layer; NaN where none was measured."""
    if f"{similarity}_null" not in models:
        return float("nan")
    return float(models[f"{similarity}_null"].sel(layer=layer).mean("run"))
