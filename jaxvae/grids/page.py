"""The page of a grid, from its records."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import xarray as xr

from jaxvae.grids.combinations import colored, combinations
from jaxvae.grids.grid import Grid, are_numbers, coordinate
from jaxvae.grids.quantities import Quantity, geometry, known_runs, layer_quantities, rates
from jaxvae.grids.tables import captioned_rows, collapsed, errors, lowest, title
from jaxvae.report.page import Chart, Page, Table, Trace, settings_of
from jaxvae.report.traces import (
    LINE_NUMBERS,
    MAP_NUMBERS,
    heat_map,
    line,
    shown_epochs,
    whole_axis,
)

# More lines than this cannot be told apart: charts show so many, evenly chosen.
_LINES = 16
_HOVER = "Hover over a point for its value and its standard error."


def grid_page(grid: Grid, records: xr.Dataset) -> Page:
    """Every quantity against every setting that varies and over training, and the layers.

    Args:
        grid: grid of the runs.
        records: records of the runs, without the dimensions of settings that have one value.
    """
    quantities = [*rates(records), *geometry(records)]
    charts = [_against(grid, quantities, axis) for axis in grid.varying]
    if grid.snapshots > 1:
        charts.append(_over_training(grid, quantities, records))
    if "imbalance" in records:
        charts += [_layers(grid, records), _map(grid, records)]
    tables = [Table(name, rows, reads) for name, rows, reads in captioned_rows(grid, records)]
    answer = [*lowest(grid, records), *collapsed(grid, records), errors(grid)]
    return Page(title(grid, records), answer, settings_of(records), charts, tables)


def _against(grid: Grid, quantities: Sequence[Quantity], axis: str) -> Chart:
    values = grid.varying[axis]
    others = {name: each for name, each in grid.varying.items() if name != axis}
    traces = [
        trace
        for quantity in quantities
        for trace in _lines(quantity, others, coordinate(values), {"epoch": -1})
    ]
    kind = "linear" if are_numbers(values) else "category"
    return Chart(
        f"Against {axis.replace('_', ' ')}",
        f"At the last epoch{_of_how_many(others)}. {_HOVER}",
        traces,
        axis.replace("_", " "),
        "quantity",
        choices=_titles(quantities),
        layout={"xaxis": {"type": kind}},
    )


def _over_training(grid: Grid, quantities: Sequence[Quantity], records: xr.Dataset) -> Chart:
    epochs = records["epoch"].values.tolist()
    return Chart(
        "Over training",
        f"There is a line for every combination of settings{_of_how_many(grid.varying)}. {_HOVER}",
        [trace for each in quantities for trace in _lines(each, grid.varying, epochs, {})],
        "epoch",
        "quantity",
        choices=_titles(quantities),
        layout={"xaxis": whole_axis(epochs)},
    )


def _layers(grid: Grid, records: xr.Dataset) -> Chart:
    quantities = layer_quantities(records, ("input",))
    names = quantities[0].values["layer"].values.tolist()
    count = min(len([*combinations(grid.varying)]), _LINES)
    per_epoch = count * len(names) * len(quantities)
    snapshots, note = shown_epochs(range(grid.snapshots), per_epoch=per_epoch, most=LINE_NUMBERS)
    epochs = [str(records["epoch"].values[snapshot]) for snapshot in snapshots]
    traces = [
        trace._replace(when={**trace.when, "epoch": epoch})
        for quantity in quantities
        for snapshot, epoch in zip(snapshots, epochs, strict=True)
        for trace in _lines(quantity, grid.varying, names, {"epoch": snapshot})
    ]
    return Chart(
        "From layer to layer",
        "The intrinsic dimension of every layer by TwoNN, or Δ(layer → input): near 0, neighbors "
        "in the layer are neighbors among the images; near 1, it says nothing about the images"
        f"{_of_how_many(grid.varying)}. {_HOVER}{note}",
        traces,
        "layer",
        "quantity",
        choices=_titles(quantities) | {"epoch": epochs},
    )


def _map(grid: Grid, records: xr.Dataset) -> Chart:
    imbalance = known_runs(records)["imbalance"].transpose("layer", "other_layer", ...)
    quantity, layers = Quantity("", "", imbalance, None, 4), records["layer"].values.tolist()
    traces, count = [], min(len([*combinations(grid.varying)]), _LINES)
    per_epoch = count * len(layers) ** 2
    snapshots, note = shown_epochs(range(grid.snapshots), per_epoch=per_epoch, most=MAP_NUMBERS)
    epochs = [str(records["epoch"].values[snapshot]) for snapshot in snapshots]
    for label, _, where in colored(grid.varying, _LINES):
        for snapshot, epoch in zip(snapshots, epochs, strict=True):
            selection = {**where, "epoch": snapshot}
            mean, stderr = (
                each.isel(selection).values for each in (quantity.mean, quantity.stderr)
            )
            least = 2 / records.attrs["points"]
            drawn = heat_map(layers, layers, mean, stderr, name="Δ", least=least)
            traces.append(Trace(drawn, {"run": label, "epoch": epoch}))
    return Chart(
        "Information imbalance between all layers",
        "Δ(row → column): near 0, neighbors in the layer of the row are neighbors in that of the "
        f"column; near 1, the row says nothing about the column{_of_how_many(grid.varying)}. "
        f"{_HOVER}{note}",
        traces,
        "to",
        "from",
        {"run": [label for label, *_ in colored(grid.varying, _LINES)], "epoch": epochs},
        {"yaxis": {"autorange": "reversed"}},
    )


def _lines(
    quantity: Quantity, varying: Mapping[str, Sequence[Any]], x: list[Any], at: dict[str, int]
) -> Iterator[Trace]:
    """A line for every combination of some settings, shown where the quantity is chosen."""
    for label, color, where in colored(varying, _LINES):
        mean, stderr = (
            each.isel({**where, **at}).values for each in (quantity.mean, quantity.stderr)
        )
        yield Trace(line(x, mean, stderr, name=label, color=color), {"quantity": quantity.title})


def _of_how_many(varying: Mapping[str, Sequence[Any]]) -> str:
    count = len([*combinations(varying)])
    return f", {_LINES} of {count:,} combinations of settings" if count > _LINES else ""


def _titles(quantities: Sequence[Quantity]) -> dict[str, list[str]]:
    """The last choice is the one that is shown first."""
    return {"quantity": [quantity.title for quantity in reversed(quantities)]}
