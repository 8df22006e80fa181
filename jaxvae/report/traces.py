"""What the charts of a page are made of: lines and heat maps, with errors and nulls on hover."""

from typing import Any

import numpy as np

from jaxvae.report.page import hover


def line(
    x: list[Any],
    mean: np.ndarray,
    stderr: np.ndarray,
    *,
    name: str,
    color: str,
    null: np.ndarray | None = None,
) -> dict[str, Any]:
    """A line with its points and their errors, as plotly has it."""
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


def heat_map(
    rows: list[str],
    columns: list[str],
    mean: np.ndarray,
    stderr: np.ndarray,
    null: np.ndarray | None = None,
) -> dict[str, Any]:
    """A map of values from 0 to 1, as plotly has it."""
    return {
        "type": "heatmap",
        "x": columns,
        "y": rows,
        "z": mean,
        "text": np.reshape(hover(mean, stderr, null), mean.shape),
        "hovertemplate": "%{y} → %{x}: %{text}<extra></extra>",
        "zmin": 0,
        "zmax": 1,
        "colorscale": "Viridis",
    }
