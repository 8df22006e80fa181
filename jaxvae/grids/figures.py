"""The figures of a grid, from its records."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxvae.grids.combinations import colored
from jaxvae.grids.grid import Grid, are_numbers
from jaxvae.grids.quantities import geometry, layer_quantities, rates
from jaxvae.grids.tables import title
from jaxvae.report.style import draw_each, figure, mark_layers, mark_logarithm
from jaxvae.runs.config import word

_COLUMNS = 4
# With more lines than this colors cannot be told apart, and the legend is left out.
_NAMED = 16
# Values that span more than this are on a logarithmic axis.
_SPAN = 8


def draw_grid(grid: Grid, records: xr.Dataset, folder: Path) -> list[Path]:
    """Figures of all quantities against every setting and over training, and of layers.

    Args:
        grid: grid of the runs.
        records: records of the runs, without the dimensions of settings that have one value.
        folder: where the PNG files go; made where absent.

    Returns:
        The files.
    """
    axes = {f"against_{name}": (name, each) for name, each in grid.varying.items()}
    if grid.snapshots > 1:
        axes["over_training"] = ("epoch", tuple(records["epoch"].values.tolist()))
    drawings = {
        name: partial(_against, grid=grid, axis=axis, values=values)
        for name, (axis, values) in axes.items()
    }
    if "imbalance" in records:
        drawings["layers"] = partial(_layers, grid=grid)
    return draw_each(drawings, records, folder)


def _against(
    records: xr.Dataset, path: Path, *, grid: Grid, axis: str, values: Sequence[Any]
) -> None:
    quantities = [*rates(records), *geometry(records)]
    others = {name: each for name, each in grid.varying.items() if name != axis}
    rows = -(-len(quantities) // _COLUMNS)
    with figure(path, size=(12, 2.6 * rows + 0.6), title=title(grid, records)) as drawing:
        panels = drawing.subplots(rows, _COLUMNS, squeeze=False).flat
        for axes in panels[len(quantities) :]:
            axes.set_axis_off()
        for axes, quantity in zip(panels, quantities, strict=False):
            x = _mark_values(axes, axis, values)
            mean, stderr = (_at_end(each, axis) for each in (quantity.mean, quantity.stderr))
            for label, color, where in colored(others):
                selected = (each.isel(where) for each in (mean, stderr))
                _draw(axes, x, *selected, color=color, label=label)
            axes.set_title(quantity.title)
            if quantity.title.startswith("Δ"):
                mark_logarithm(axes)
        _legend(drawing, panels[0])


def _layers(records: xr.Dataset, path: Path, *, grid: Grid) -> None:
    panels = layer_quantities(records, ("input", "output"))
    names = panels[0].values["layer"].values.tolist()
    with figure(path, size=(15, 4.4), title=title(grid, records)) as drawing:
        row = drawing.subplots(1, len(panels))
        for axes, quantity in zip(row, panels, strict=True):
            for label, color, where in colored(grid.varying):
                at = {**where, "epoch": -1}
                mean, stderr = (each.isel(at) for each in (quantity.mean, quantity.stderr))
                # Layers that a network lacks are passed over.
                measured = np.flatnonzero(mean.notnull().values)
                _draw(axes, measured, mean[measured], stderr[measured], color=color, label=label)
            mark_layers(axes, names)
            axes.set_title(quantity.title)
        row[0].set_ylim(bottom=0)
        for axes in row[1:]:
            mark_logarithm(axes)
        _legend(drawing, row[0])


def _draw(
    axes: Axes, x: np.ndarray, mean: xr.DataArray, stderr: xr.DataArray, *, color: Any, label: str
) -> None:
    axes.errorbar(
        x, mean.values, stderr.fillna(0).values, marker="o", color=color, capsize=2, label=label
    )


def _at_end(values: xr.DataArray, axis: str) -> xr.DataArray:
    return values if axis == "epoch" else values.isel(epoch=-1)


def _mark_values(axes: Axes, axis: str, values: Sequence[Any]) -> np.ndarray:
    """The values on the axis, and where they are there: numbers to scale, others side by side."""
    numbers = are_numbers(values)
    positions = np.array(values, float) if numbers else np.arange(len(values))
    if numbers and positions[0] > 0 and positions[-1] / positions[0] >= _SPAN:
        axes.set_xscale("log")
    axes.set_xticks(positions, [word(value) for value in values])
    axes.minorticks_off()
    axes.set_xlabel(axis.replace("_", " "))
    return positions


def _legend(drawing: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if 1 < len(handles) <= _NAMED:
        drawing.legend(handles, labels, loc="outside right center")
