"""Delta between the latents of models of different bottlenecks, as a table and a figure."""

from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.colors import LogNorm

from jaxvae.report.style import figure

BETWEEN = (
    "Δ(row → column) between the posterior means of models of different seeds (of different K, "
    "where there is one seed), the mean over pairs. The diagonal, Δ between models of the same K, "
    "is how much two trainings differ. Near 0, neighbors in the latents of the row are neighbors "
    "in those of the column; near 1, the row says nothing about the column."
)


def between_sizes(records: xr.Dataset, space: str) -> xr.DataArray:
    """Delta from the latents of one K to those of another, mean over pairs of models.

    Pairs are of different seeds: models of one seed are measured with the same noise, which makes
    their samples more alike than they are.

    Args:
        records: records of a sweep, with `imbalance_between`.
        space: `mean` or `sample`.

    Returns:
        Over `bottleneck` and `other_bottleneck`. Of a sweep of one seed, between the means of
        different K, and NaN between samples.
    """
    imbalance = records["imbalance_between"].sel(space=space)
    if imbalance.sizes["compared_seed"] > 1 or space == "sample":
        told_apart = imbalance["compared_seed"] != imbalance["other_seed"]
    else:
        told_apart = imbalance["bottleneck"] != imbalance["other_bottleneck"]
    return imbalance.where(told_apart).mean(["compared_seed", "other_seed"])


def between_rows(records: xr.Dataset) -> list[dict[str, str]]:
    """Delta between the posterior means of models of different K: a row of text for every K."""
    imbalance = between_sizes(records, "mean")
    sizes = imbalance["bottleneck"].values
    return [
        {"from, to": f"K = {size}"}
        | {
            f"K = {other}": "" if np.isnan(value) else f"{value:.3f}"
            for other, value in zip(sizes, imbalance.sel(bottleneck=size).values, strict=True)
        }
        for size in sizes
    ]


def draw_between(records: xr.Dataset, path: Path, *, title: str) -> None:
    """A map for the means and, of several seeds, one for the samples, from rows to columns."""
    sizes = records["bottleneck"].values
    maps = {space: between_sizes(records, space).values for space in ("mean", "sample")}
    if not np.isfinite(maps["sample"]).any():
        del maps["sample"]
    low = min(np.nanmin(each, initial=1) for each in maps.values())
    side = max(2.6, 0.62 * len(sizes))
    with figure(path, size=(len(maps) * side + 2.4, side + 1.4), title=title) as drawing:
        panels = drawing.subplots(1, len(maps), squeeze=False)[0]
        for axes, (space, values) in zip(panels, maps.items(), strict=True):
            norm = LogNorm(min(0.5, low), 1)
            shown = axes.imshow(values, cmap="cividis", norm=norm)
            for (row, column), value in np.ndenumerate(values):
                if np.isfinite(value):
                    color = "black" if norm(value) > 0.5 else "white"
                    text = f"{float(f'{value:.2g}'):g}".removeprefix("0")
                    axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
            axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
            axes.set_yticks(range(len(sizes)), [str(size) for size in sizes])
            axes.grid(visible=False)
            axes.set_xlabel("to K, of another seed" if np.isfinite(values[0, 0]) else "to K")
            axes.set_title(f"Δ between {space}s")
        panels[0].set_ylabel("from K")
        drawing.colorbar(shown, ax=panels, shrink=0.8)
