"""The style of figures: quiet axes, one color per bottleneck, readable in print."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation

from jaxvae.files.whole import write_whole

_SETTINGS: Any = {
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
}


Color: TypeAlias = tuple[float, float, float, float]

# Four colors that differ also where red and green do not (Okabe and Ito 2008).
BLUE, ORANGE, GREEN, RED = "#0072b2", "#e69f00", "#009e73", "#d55e00"

# Labels of logarithmic axes are decimals from the first of these to the second.
_PLAIN = (1e-4, 1e4)


@contextmanager
def figure(path: Path, *, size: tuple[float, float], title: str) -> Iterator[Figure]:
    """A figure in the house style, saved whole as PNG when the block ends.

    Args:
        path: the file.
        size: width and height in inches.
        title: above all panels.
    """
    # Figures are made without pyplot: no window, no global state, any thread.
    with mpl.rc_context(_SETTINGS):
        drawing = Figure(figsize=size, layout="constrained")
        drawing.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        yield drawing
        write_whole(path, drawing.savefig)


def draw_each(
    drawings: Mapping[str, Callable[[xr.Dataset, Path], None]], records: xr.Dataset, folder: Path
) -> list[Path]:
    """Every drawing of the records as a PNG file with its name, in a folder that may be absent."""
    paths = [folder / f"{name}.png" for name in drawings]
    for path, draw in zip(paths, drawings.values(), strict=True):
        draw(records, path)
    return paths


def ordered_colors(count: int) -> list[Color]:
    """Colors in an order, from dark to light; white has 3 times the light of the last one."""
    return [*map(tuple, mpl.colormaps["plasma"](np.linspace(0.02, 0.64, count)))]


def bottleneck_colors(bottlenecks: Sequence[int]) -> dict[int, Color]:
    """A color for every size, from dark for the first to light for the last."""
    return dict(zip(bottlenecks, ordered_colors(len(bottlenecks)), strict=True))


def mark_bottlenecks(axes: Axes, bottlenecks: Sequence[int]) -> None:
    """A logarithmic axis with exactly the sizes of the sweep as ticks."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(bottlenecks), [str(size) for size in bottlenecks])
    axes.xaxis.minorticks_off()
    axes.set_xlabel("bottleneck size K")


def mark_epochs(axes: Axes, epochs: Sequence[int]) -> None:
    """A logarithmic axis with a tick at every measured epoch, and labels as far as there is room.

    The last epoch has a label, and of two labeled epochs the later is at least twice the earlier.
    """
    labeled: list[int] = []
    for epoch in sorted(epochs, reverse=True):
        if not labeled or 2 * epoch <= labeled[-1]:
            labeled.append(epoch)
    axes.set_xscale("symlog", linthresh=1, linscale=0.4)
    axes.set_xticks(list(epochs), [str(epoch) if epoch in labeled else "" for epoch in epochs])
    axes.minorticks_off()


def mark_layers(axes: Axes, layers: Sequence[str]) -> None:
    """The layers as ticks, the bottleneck shaded, or the latents of every layer of a hierarchy."""
    axes.set_xticks(range(len(layers)), layers, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.3, len(layers) - 0.7)
    for start, name in enumerate(layers):
        if name.endswith("mean"):
            end = layers.index(f"{name.removesuffix('mean')}sample")
            axes.axvspan(start - 0.5, end + 0.5, color="0.95", zorder=0)


class _Plain(LogFormatterSciNotation):
    """Ticks of a logarithmic axis, labeled as decimals where these are short."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        label = super().__call__(x, pos)
        return f"{x:.6g}" if label and _PLAIN[0] <= x < _PLAIN[1] else label


def mark_logarithm(axes: Axes) -> None:
    """A logarithmic vertical axis, readable also where values span little, and named so."""
    axes.set_yscale("log")
    axes.set_ylabel(", ".join(filter(None, [axes.get_ylabel(), "logarithmic"])))
    axes.yaxis.set_major_formatter(_Plain())
    axes.yaxis.set_minor_formatter(_Plain())


def draw_spread(
    axes: Axes,
    x: np.ndarray,
    values: np.ndarray,
    *,
    color: object,
    label: str | None = None,
    linestyle: str = "-",
) -> None:
    """A line through the mean over seeds, and a band from the lowest to the highest (`bands`).

    A single place has a bar instead of a band.

    Args:
        axes: where to draw.
        x: `[m]`.
        values: `[m, seeds]`; NaN and infinity, as of runs that failed, are left out.
        color: color of line and band.
        label: in the legend.
        linestyle: style of the line.
    """
    known = np.ma.masked_invalid(values)
    axes.plot(x, known.mean(axis=1), marker="o", color=color, label=label, linestyle=linestyle)
    if values.shape[1] > 1:
        lowest, highest = known.min(axis=1), known.max(axis=1)
        axes.fill_between(x, lowest, highest, color=color, alpha=0.2, linewidth=0)
        if len(x) == 1:
            axes.vlines(x, lowest, highest, color=color, linewidth=1)


def bands(count: int, what: str = "seeds") -> str:
    """What the bands of `draw_spread` are, to be added to a title; nothing of one alone."""
    return f" (bands: range over {what})" if count > 1 else ""


def in_rows(rows: Iterable[np.ndarray]) -> np.ndarray:
    """Rows of images uint8 `[n, h, w, c]` as one image, with thin gaps between them."""
    framed = [np.pad(row, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate([np.concatenate(list(row), axis=1) for row in framed])


def draw_rows(axes: Axes, rows: Mapping[str, np.ndarray]) -> None:
    """Draw images in a grid with thin gaps, with a named row for every entry.

    Args:
        axes: where to draw.
        rows: uint8 `[n, h, w, c]` of the same shape, by the name of the row.
    """
    grid = in_rows(rows.values())
    height = len(grid) / len(rows)
    axes.imshow(grid.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_yticks([(index + 0.5) * height for index in range(len(rows))], list(rows))
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
