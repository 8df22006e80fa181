"""The figures of a measurement of arrays, from its records."""

from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxvae.analysis.registry import METRICS
from jaxvae.report.measurement import has_null, metrics_of, title, variable
from jaxvae.report.style import figure

# With more spaces the numbers in a heat map are too small to read.
_ANNOTATED = 10


def draw_measurements(records: xr.Dataset, folder: Path) -> list[Path]:
    """A figure for every metric: a heat map of pairs, or a point for every space.

    Args:
        records: from `as_records`.
        folder: where `METRIC.png` goes; made where absent.

    Returns:
        The files.
    """
    paths = []
    for name in metrics_of(records):
        dimensions = records[variable(name)].dims
        paths.append(folder / f"{name}.png")
        if "space_to" in dimensions:
            _draw_pairs(records, name, paths[-1])
        elif "rank" in dimensions:
            _draw_scales(records, name, paths[-1])
        else:
            _draw_spaces(records, name, paths[-1])
    return paths


def _draw_spaces(records: xr.Dataset, name: str, path: Path) -> None:
    stem, positions = variable(name), np.arange(records.sizes["space"])
    with figure(
        path, size=(max(4.5, 2.5 + 0.5 * len(positions)), 4), title=title(records)
    ) as drawing:
        axes = drawing.subplots()
        values = records[stem].values, records[f"{stem}_stderr"].values
        nulls = records[f"{stem}_null"].values, records[f"{stem}_null_spread"].values
        if np.isfinite(nulls[0]).any():
            label = f"null: {_wrapped(records[stem].attrs['null'])}"
            axes.errorbar(positions, *nulls, fmt="x", color="0.5", markersize=6, label=label)
        axes.errorbar(
            positions, *values, fmt="o", color="tab:blue", capsize=2, label="value ± error"
        )
        _name_spaces(axes, records)
        axes.set_xlim(-0.5, len(positions) - 0.5)
        axes.set_ylim(bottom=0)
        axes.set_title(METRICS[name].title)
        drawing.legend(loc="outside lower left", ncols=2)


def _draw_scales(records: xr.Dataset, name: str, path: Path) -> None:
    stem, ranks = variable(name), records["rank"].values
    spaces = records["space"].values.tolist()
    with figure(path, size=(6.5, 4.2), title=title(records)) as drawing:
        axes = drawing.subplots()
        for index, space in enumerate(spaces):
            color = f"C{index % 10}"
            value, stderr, null = (
                records[stem + end].values[index] for end in ("", "_stderr", "_null")
            )
            axes.errorbar(ranks, value, stderr, marker="o", color=color, capsize=2, label=space)
            axes.plot(ranks, null, linestyle=":", linewidth=1, color=color)
        if has_null(records):
            label = f"null: {_wrapped(records[stem].attrs['null'])}"
            axes.plot([], [], ":", color="0.3", label=label)
        axes.set_xscale("log", base=2)
        axes.set_xticks(ranks, [str(rank) for rank in ranks])
        axes.set_xlabel("rank r of the nearer neighbor")
        axes.set_ylim(bottom=0)
        axes.set_title(METRICS[name].title)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _draw_pairs(records: xr.Dataset, name: str, path: Path) -> None:
    stem = variable(name)
    panels = {METRICS[name].title: records[stem].values}
    null = records[f"{stem}_null"].values
    if np.isfinite(null).any():
        panels["Null: points shuffled"] = null
    side = 2.2 + 0.42 * len(null)
    with figure(path, size=(side * len(panels) + 0.6, side), title=title(records)) as drawing:
        row = np.atleast_1d(drawing.subplots(1, len(panels), sharey=True))
        for axes, (heading, values) in zip(row, panels.items(), strict=True):
            _heat_map(drawing, axes, values, records)
            axes.set_title(heading)


def _heat_map(drawing: Figure, axes: Axes, values: np.ndarray, records: xr.Dataset) -> None:
    # A space against itself says nothing, and its dark or bright diagonal hides the rest.
    values = np.where(np.eye(len(values), dtype=bool), np.nan, values)
    image = axes.imshow(values, cmap="viridis", vmin=0, vmax=1)
    _name_spaces(axes, records)
    axes.set_yticks(range(len(values)), records["space"].values)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    if len(values) <= _ANNOTATED:
        for (row, column), value in np.ndenumerate(values):
            color, text = "black" if value > 0.6 else "white", f"{value:.3f}"
            if row != column:
                axes.text(column, row, text, ha="center", va="center", color=color, size=7)
    else:
        drawing.colorbar(image, ax=axes, shrink=0.8)


def _name_spaces(axes: Axes, records: xr.Dataset) -> None:
    names = records["space"].values
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")


def _wrapped(text: str) -> str:
    words = text.split(" of ", 1)
    return "\nof ".join(words)
