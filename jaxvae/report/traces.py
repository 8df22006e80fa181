"""The parts of the charts of a page: lines, heat maps, errors and nulls on hover, and axes."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from jaxvae.report.page import Chart, Trace, hover
from jaxvae.runs.curve import Curve

Value = TypeVar("Value")

ACCENT, SECOND = "#1f6fb2", "#b8860b"
"""The color of the page, and the one that stands beside it."""

# Numbers of a chart of lines and of one of heat maps at most: the page stays below 8 MB.
LINE_NUMBERS, MAP_NUMBERS = 4_000, 25_000
# Ticks of an axis of whole numbers, at most.
_TICKS = 10


def line(
    x: list[Any],
    mean: np.ndarray,
    stderr: np.ndarray,
    *,
    name: str,
    color: str,
    null: np.ndarray | None = None,
) -> dict[str, Any]:
    """A line with its points and their errors, as a trace of plotly."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": x,
        "y": mean,
        "text": hover(mean, stderr, null),
        "error_y": {"array": stderr, "thickness": 1, "width": 2},
        "hovertemplate": "%{x}, %{fullData.name}: %{text}<extra></extra>",
        "line": {"color": color, "width": 2},
    }


def level_line(ends: Sequence[float], value: float, *, name: str) -> dict[str, Any]:
    """A dashed level line between two ends, such as a null, as a trace of plotly."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "hoverinfo": "skip",
        "x": list(ends),
        "y": [value] * 2,
        "line": {"color": "#8c8c8c", "dash": "dash", "width": 1.5},
    }


def heat_map(
    rows: list[str],
    columns: list[str],
    mean: np.ndarray,
    stderr: np.ndarray,
    null: np.ndarray | None = None,
    *,
    name: str,
    least: float | None = None,
) -> dict[str, Any]:
    """A map of values from 0 to 1, as a trace of plotly.

    Args:
        rows: names of the rows.
        columns: names of the columns.
        mean: values.
        stderr: their standard errors.
        null: their nulls.
        name: title of the scale of colors.
        least: where the scale begins if it is logarithmic, as for Δ, of which most are near 0:
            its value between identical spaces, (k + 1)/n. None for an even scale from 0.
    """
    bar = color_bar(name)
    scale, values = (0.0, 1.0), mean
    if least is not None:
        # Of so few points that there is no less, colors need a range.
        least = min(least, 0.5)
        values = np.log10(np.clip(mean, least, None))
        ticks = [each for power in range(-6, 1) for each in (10.0**power, 3 * 10.0**power)]
        ticks = [each for each in ticks if least <= each <= 1]
        bar |= {"tickvals": np.log10(ticks), "ticktext": [f"{each:g}" for each in ticks]}
        scale = (float(np.log10(least)), 0.0)
    return {
        "type": "heatmap",
        "x": columns,
        "y": rows,
        "z": values,
        "text": np.reshape(hover(mean, stderr, null), mean.shape),
        "hovertemplate": "%{y} → %{x}: %{text}<extra></extra>",
        "zmin": scale[0],
        "zmax": scale[1],
        "colorscale": "Viridis",
        "colorbar": bar,
    }


def color_bar(title: str) -> dict[str, Any]:
    """The bar beside a chart that says what its colors are."""
    return {"title": {"text": title, "side": "right"}}


def training_chart(curves: Mapping[str, Curve]) -> Chart:
    """The loss and its terms over training, of one run or of two, by name."""
    terms = dict.fromkeys(term for curve in curves.values() for term in curve.means)
    of = "%{fullData.name}, " if len(curves) > 1 else ""
    traces = [
        Trace(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": curve.steps,
                "y": values,
                "hovertemplate": f"{of}step %{{x:,}}: %{{y:.5g}} nats<extra></extra>",
                "line": {"color": color, "width": 2},
                "showlegend": len(curves) > 1,
            },
            {"term": term},
        )
        for (name, curve), color in zip(curves.items(), (ACCENT, SECOND), strict=False)
        for term, values in curve.means.items()
    ]
    return Chart(
        "Loss and its terms over training",
        "Each point is the mean over the steps since the point before, on training images. "
        "Choose the term, and hover for its value.",
        traces,
        "step",
        "nats per image",
        {"term": [*terms][::-1]},
    )


def stderr_over(values: xr.DataArray, dimension: str) -> np.ndarray:
    """Standard error of the mean over a dimension, by the spread of the values that are known.

    NaN for fewer than two, and for values that are all the same: what all seeds share, such as the
    images, has an error that they do not show.
    """
    stderr = stderr_of_known(values, dimension)
    return stderr.where(values.max(dimension) > values.min(dimension)).values


def stderr_of_known(values: xr.DataArray, dimension: str) -> xr.DataArray:
    """Standard error of the mean over a dimension of the values that are not NaN.

    NaN for fewer than two.
    """
    count = values.notnull().sum(dimension)
    squares = ((values - values.mean(dimension)) ** 2).sum(dimension)
    return (squares / (count * (count - 1)).where(count > 1)) ** 0.5


def evenly(values: Sequence[Value], count: int) -> list[Value]:
    """At most `count` of some values, evenly chosen: the first, the last and some between."""
    if count < 2 or len(values) <= count:
        return list(values if len(values) <= count else values[-1:])
    indices = np.linspace(0, len(values) - 1, count).round().astype(int)
    return [values[index] for index in indices]


def shown_epochs(epochs: Sequence[int], *, per_epoch: int, most: int) -> tuple[list[int], str]:
    """The epochs that a chart shows, and a sentence that says so where these are not all.

    Args:
        epochs: all measured epochs.
        per_epoch: how many numbers the chart has for one epoch.
        most: how many numbers the chart may have. The last epoch is shown in any case.
    """
    shown = evenly(epochs, max(1, most // per_epoch))
    if len(shown) == len(epochs):
        return shown, ""
    return shown, f" {len(shown)} of {len(epochs)} epochs are shown, evenly chosen."


def whole_axis(values: Sequence[int]) -> dict[str, Any]:
    """An axis of whole numbers, such as epochs, with ticks at whole numbers alone."""
    least = (max(values) - min(values)) / _TICKS
    steps = (each * 10**power for power in range(12) for each in (1, 2, 5))
    return {"dtick": next(step for step in steps if step >= least)}


def listed_axis(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis with ticks at some values alone, such as the sizes of a sweep."""
    return {
        "type": "log",
        "tickvals": list(values),
        "ticktext": [f"{value:g}" for value in values],
    }
