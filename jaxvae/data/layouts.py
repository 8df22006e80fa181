"""The axes of height, width and channels in an array of images."""

import math
from typing import NamedTuple

import numpy as np

_CHANNELS = (1, 3)
# What nobody would take for a height or a width.
_FEW = (1, 2, 3, 4)
# So many times wider than they are high, or than there are, images may lie along the last axis.
_ELONGATED = 4


class Layout(NamedTuple):
    """The order of axes that turns an array into `[n, h, w, c]`.

    Attributes:
        axes: its axes in that order, the last one new where there are three.
        words: what was understood, empty where nothing had to be.
    """

    axes: tuple[int, ...]
    words: str

    def arranged(self, array: np.ndarray) -> np.ndarray:
        """Some of the images, as `[n, h, w, c]`."""
        full = array[..., None] if array.ndim == 3 else array
        return np.transpose(full, self.axes)

    def arranged_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape `[n, h, w, c]` of images of a given shape."""
        full = (*shape, 1) if len(shape) == 3 else shape
        return tuple(full[axis] for axis in self.axes)


def layout_of(shape: tuple[int, ...], what: str) -> Layout:
    """The layout of images `[n, h, w]`, `[n, h, w, c]` or `[n, c, h, w]`, c being 1 or 3.

    Raises:
        ValueError: for other shapes, and where two readings are possible; says what to do.
    """
    ways = "images [n, h, w], [n, h, w, c] or [n, c, h, w] with c = 1 or 3"
    if len(shape) == 3 and shape[-1] not in _FEW:
        count, height, width = shape
        doubtful = width >= _ELONGATED * max(count, height, 1)
        return Layout((0, 1, 2, 3), _read_as(count, height, width) if doubtful else "")
    if len(shape) != 4:
        raise ValueError(f"expected {ways} in {what}, got {_words(shape)}{_advice(shape)}")
    last, first = shape[3] in _CHANNELS, shape[1] in _CHANNELS
    if last and shape[1] not in _FEW:
        return Layout((0, 1, 2, 3), "")
    if first and shape[3] not in _FEW:
        return Layout((0, 2, 3, 1), "channels first")
    if last or first:
        raise ValueError(
            f"expected {ways} in {what}, got {_words(shape)}, in which height and width are not "
            "told from channels: save images of at least 5 pixels along each side"
        )
    raise ValueError(f"expected {ways} in {what}, got {_words(shape)}; {_channel_advice(shape)}")


def _read_as(count: int, height: int, width: int) -> str:
    return (
        f"read as {count:,} images of {height} x {width}: if they are {width:,} images of {count} "
        f"x {height}, save numpy.moveaxis(images, 2, 0)"
    )


def _advice(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        side = math.isqrt(shape[1])
        sides = f"{side}, {side}" if side * side == shape[1] else "height, width"
        return f"; save images.reshape(-1, {sides}), if rows are images"
    if len(shape) == 3:
        return "; this may be one image: save images[None] for a set of one"
    if len(shape) > 4 and shape[-1] in _CHANNELS:
        sides = ", ".join(map(str, shape[-3:]))
        return f"; save images.reshape(-1, {sides}), if all but the last three count images"
    if len(shape) > 4:
        return "; save images.reshape(-1, height, width), if all but the last two count images"
    return ""


def _channel_advice(shape: tuple[int, ...]) -> str:
    """What to do with four axes of which none has 1 or 3 channels in its place."""
    count, second, third, last = shape
    if second in _FEW and last not in _FEW:
        return f"keep 1 or 3 channels, such as images[:, :{3 if second > 3 else 1}]"
    keep = f"keep 1 or 3 channels, such as images[..., :{3 if last > 3 else 1}]"
    if last not in _FEW and (third in _FEW or count in _FEW):
        return (
            f"if the last axis counts {last:,} images, as in MATLAB, save "
            f"numpy.moveaxis(images, 3, 0); else {keep}"
        )
    return keep


def _words(shape: tuple[int, ...]) -> str:
    return f"an array [{', '.join(map(str, shape))}]"
