"""The figure of dimension over scales, from near neighbors to far ones."""

from pathlib import Path

import xarray as xr

from jaxvae.report.style import bottleneck_colors, draw_spread, figure

_COLUMNS = 4


def draw_scales(records: xr.Dataset, path: Path, *, title: str) -> None:
    """A panel for every layer that follows the input, which is in all of them.

    Args:
        records: records of a sweep, with `scale_dimension`.
        path: the file.
        title: above all panels.
    """
    layers = [name for name in records["layer"].values if name not in ("input", "log_variance")]
    ranks, curves = records["far_neighbor"].values, records["scale_dimension"]
    data = curves.sel(layer="input").mean(["bottleneck", "seed"])
    rows = -(-len(layers) // _COLUMNS)
    with figure(path, size=(11.5, 2.5 * rows + 0.6), title=title) as drawing:
        grid = drawing.subplots(rows, _COLUMNS, squeeze=False, sharex=True)
        for axes in grid.flat[len(layers) :]:
            axes.set_axis_off()
        for axes, layer in zip(grid.flat, layers, strict=False):
            axes.plot(ranks, data, color="0.3", linestyle="--", linewidth=1, label="data")
            for size, color in bottleneck_colors(records["bottleneck"].values.tolist()).items():
                curve = curves.sel(bottleneck=size, layer=layer)
                spread = curve.transpose("far_neighbor", "seed").values
                draw_spread(axes, ranks, spread, color=color, label=f"K = {size}")
                if layer == "sample":
                    null = records["scale_dimension_null"].sel(bottleneck=size)
                    axes.plot(ranks, null, "x", color=color, markersize=6)
            axes.set_xscale("log", base=2)
            axes.set_xticks(ranks, [str(rank) for rank in ranks])
            axes.minorticks_off()
            axes.tick_params(labelbottom=True)
            axes.set_ylim(bottom=0)
            axes.set_title(layer)
        for axes in grid[:, 0]:
            axes.set_ylabel("intrinsic dimension (Gride)")
        drawing.supxlabel("rank of the farther neighbor", fontsize=9)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        (cross,) = grid[0, 0].plot([], [], "x", color="0.4", markersize=6)
        drawing.legend([*handles, cross], [*labels, "null: Gaussian"], loc="outside right center")
