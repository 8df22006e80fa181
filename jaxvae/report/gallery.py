"""Figures of the images of a model: reconstructions, samples of its prior, and traversals."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from jaxvae.analysis.pixels import as_bytes
from jaxvae.analysis.regeneration import Regenerations
from jaxvae.analysis.traversal import Traversals
from jaxvae.report.style import figure
from jaxvae.typing import ArrayLike

# A figure shows at most so many columns, pairs of rows, samples and latents.
_COLUMNS, _PAIRS, _SAMPLES, _LATENTS = 12, 4, 100, 12
# Pixels of a figure: what an image takes, about, and the gaps between images and groups.
_CELL, _GAP, _GROUP_GAP = 96, 6, 20
# The space above the images, below them and beside them in inches, and the widths of letters.
_TITLE, _LINE, _MARGIN, _LETTER, _TITLE_LETTER = 0.3, 0.2, 0.12, 0.075, 0.105
_WHITE = 255


class _Sheet(NamedTuple):
    """Images in rows and columns, with their title and labels.

    Attributes:
        title: title of the sheet.
        images: `[r, s, h, w, c]`.
        rows: labels of the rows, or none.
        columns: labels of the columns, or none.
        note: below the columns.
        group: rows that stand together, a wider gap after them; 0 for all.
        framed: row and column of the images in a frame.
    """

    title: str
    images: UInt8[np.ndarray, "r s h w c"]
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    note: str = ""
    group: int = 0
    framed: Sequence[tuple[int, int]] = ()


def draw_gallery(
    folder: Path,
    *,
    images: ArrayLike,
    reconstructions: ArrayLike,
    samples: ArrayLike,
    latents: Traversals | Regenerations,
    title: str = "",
) -> list[Path]:
    """Reconstructions, samples of the prior and what the latents hold, a figure each.

    Images are uint8, or real numbers in [0, 1], outside of which they are clipped. Every
    pixel of theirs is a square of whole pixels of the figure.

    Args:
        folder: where `reconstructions.png`, `samples.png` and `traversals.png`, of a
            hierarchy `layers.png`, go; made where absent.
        images: `[n, h, w, c]`, gray or color; the first 48 are shown.
        reconstructions: `[n, h, w, c]` of the same images, such as the tap `output`.
        samples: `[m, h, w, c]`, such as `vae.decode` of standard normal latents; the
            first 100 are shown.
        latents: from `latent_traversals`, of which the first 12 are shown, or of a
            hierarchy, from `regenerate` of the first images.
        title: title of the model, above every figure.

    Returns:
        The files.

    Raises:
        ValueError: for arrays that are no images, NaN and infinity, and
            reconstructions of another shape than the images.
    """
    if images.shape != reconstructions.shape:
        raise ValueError(
            "expected a reconstruction of every image, got reconstructions of shape "
            f"{reconstructions.shape} for images of shape {images.shape}"
        )
    sheets = {
        "reconstructions": _reconstructions(images, reconstructions),
        "samples": _samples(samples),
        **_latents(latents, images),
    }
    paths = [folder / f"{name}.png" for name in sheets]
    for path, sheet in zip(paths, sheets.values(), strict=True):
        _draw(path, sheet._replace(title=f"{title}: {sheet.title}" if title else sheet.title))
    return paths


def draw_images(path: Path, images: ArrayLike, *, title: str) -> None:
    """Some images in rows, as a PNG file.

    Args:
        path: the file.
        images: `[n, h, w, c]` as for `draw_gallery`; all are shown.
        title: above them.

    Raises:
        ValueError: for arrays that are no images, NaN and infinity.
    """
    rows = math.ceil(len(images) / _COLUMNS)
    _draw(path, _Sheet(title, _in_rows(_as_bytes(images), rows)))


def _reconstructions(images: ArrayLike, reconstructions: ArrayLike) -> _Sheet:
    """Rows of images, each above the row of their reconstructions."""
    shown = min(len(images), _COLUMNS * _PAIRS)
    pairs = math.ceil(shown / _COLUMNS)
    above, below = (
        _in_rows(_as_bytes(array[:shown]), pairs) for array in (images, reconstructions)
    )
    rows = np.stack([above, below], axis=1).reshape(-1, *above.shape[1:])
    labels = ("image", "reconstruction") * pairs
    return _Sheet(f"reconstructions{_of(shown, len(images))}", rows, rows=labels, group=2)


def _samples(samples: ArrayLike) -> _Sheet:
    shown = min(len(samples), _SAMPLES)
    rows = math.isqrt(shown)
    title = f"samples of the prior{_of(shown, len(samples))}"
    return _Sheet(title, _in_rows(_as_bytes(samples[:shown]), rows))


def _latents(latents: Traversals | Regenerations, images: ArrayLike) -> dict[str, _Sheet]:
    if isinstance(latents, Traversals):
        return {"traversals": _traversals(latents)}
    return {"layers": _layers(latents, images)}


def _layers(regenerations: Regenerations, images: ArrayLike) -> _Sheet:
    """A row for every number of kept layers, under the images."""
    layers, made = regenerations.layers, regenerations.images[:, :_COLUMNS]
    shown = np.stack([_as_bytes(images[: made.shape[1]]), *map(_as_bytes, made)])
    # The lowest of k kept layers is z_(L - k + 1).
    labels = [
        f"kept down to z_{layers - kept + 1}" if kept else "no layer kept"
        for kept in regenerations.kept
    ]
    title = "layers kept from the image, the others drawn from the prior"
    return _Sheet(title, shown, rows=["image", *labels])


def _traversals(traversals: Traversals) -> _Sheet:
    """A row for every latent, a column for every value."""
    values, shown = traversals.values, min(len(traversals.latents), _LATENTS)
    labels = [
        f"latent {latent}, {rate:.{1 if rate >= 1 else 2}f} nats"
        for latent, rate in zip(traversals.latents[:shown], traversals.kl, strict=False)
    ]
    moved = traversals.images[:shown]
    images = _as_bytes(moved.reshape(-1, *moved.shape[2:])).reshape(moved.shape)
    return _Sheet(
        f"one latent moved at a time{_of(shown, traversals.available)}",
        images,
        rows=labels,
        columns=[f"{value:.3g}".replace("-", "−") for value in values],  # noqa: RUF001
        note="value of the latent; framed: nearest to its posterior mean",
        framed=[
            (row, int(np.argmin(abs(values - mean))))
            for row, mean in enumerate(traversals.means[:shown])
        ],
    )


def _draw(path: Path, sheet: _Sheet) -> None:
    with figure(path, size=(1, 1), title=sheet.title) as drawing:
        dpi = mpl.rcParams["savefig.dpi"]
        scale = max(1, round(_CELL / max(sheet.images.shape[2:4])))
        cells = sheet.images.repeat(scale, axis=2).repeat(scale, axis=3)
        tops = _starts(len(cells), cells.shape[2], sheet.group)
        lefts = _starts(cells.shape[1], cells.shape[3], 0)
        canvas = np.full((tops[-1] + cells.shape[2], lefts[-1] + cells.shape[3], 3), _WHITE, "u1")
        for row, top in enumerate(tops):
            for column, left in enumerate(lefts):
                cell = cells[row, column]
                canvas[top : top + len(cell), left : left + cell.shape[1]] = cell
        axes = _exact_axes(drawing, sheet, canvas.shape[:2], dpi)
        axes.imshow(canvas, interpolation="none")
        _label(axes, sheet, tops, lefts, cells.shape[2:4])


def _exact_axes(drawing: Figure, sheet: _Sheet, shape: tuple[int, int], dpi: float) -> Axes:
    """Axes of one pixel of the figure for every pixel of the canvas, with room for the text."""
    below = round((_MARGIN + _LINE * (bool(sheet.columns) + bool(sheet.note))) * dpi)
    before = round((_MARGIN + _LETTER * max(map(len, sheet.rows), default=0)) * dpi)
    title, note = _TITLE_LETTER * len(sheet.title) * dpi, _LETTER * len(sheet.note) * dpi
    width = round(max(before + shape[1], before + note, title))
    # The title of a figure begins at 98% of its height.
    width, height = width + round(_MARGIN * dpi), round((shape[0] + below + _TITLE * dpi) / 0.98)
    drawing.set_layout_engine("none")
    drawing.set_size_inches(width / dpi, height / dpi)
    rectangle = before / width, below / height, shape[1] / width, shape[0] / height
    return drawing.add_axes(rectangle)


def _label(
    axes: Axes, sheet: _Sheet, tops: list[int], lefts: list[int], cell: tuple[int, int]
) -> None:
    height, width = cell
    axes.set_yticks([top + height / 2 for top in tops] if sheet.rows else [], sheet.rows)
    axes.set_xticks([left + width / 2 for left in lefts] if sheet.columns else [], sheet.columns)
    axes.set_xlabel(sheet.note, loc="left")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for row, column in sheet.framed:
        # In the middle of the gap around the image.
        corner = lefts[column] - 0.5 - _GAP / 2, tops[row] - 0.5 - _GAP / 2
        size = width + _GAP, height + _GAP
        frame = Rectangle(corner, *size, fill=False, color="tab:orange", lw=2, clip_on=False)
        axes.add_patch(frame)


def _starts(count: int, side: int, group: int) -> list[int]:
    """The starts of images with one side, with a gap between any two, and a wider one of groups."""
    group = group or count
    return [index * (side + _GAP) + index // group * _GROUP_GAP for index in range(count)]


def _in_rows(images: UInt8[np.ndarray, "n h w c"], rows: int) -> UInt8[np.ndarray, "r s h w c"]:
    """Images in rows of one length, filled up with white ones at the end of the last row."""
    columns = math.ceil(len(images) / rows)
    missing = ((0, rows * columns - len(images)), (0, 0), (0, 0), (0, 0))
    full = np.pad(images, missing, constant_values=_WHITE)
    return full.reshape(rows, columns, *images.shape[1:])


def _as_bytes(images: ArrayLike) -> UInt8[np.ndarray, "n h w c"]:
    values = np.asarray(images)
    if values.ndim != 4 or 0 in values.shape or values.shape[-1] not in (1, 3):
        raise ValueError(f"expected images [n, h, w, 1 or 3], got shape {values.shape}")
    if values.dtype == np.uint8:
        return values
    if not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"expected uint8 or real images, got {values.dtype}")
    if not np.isfinite(values).all():
        raise ValueError("expected finite images, got NaN or infinity")
    return as_bytes(values)


def _of(shown: int, available: int) -> str:
    return "" if shown == available else f" ({shown:,} of {available:,})"
