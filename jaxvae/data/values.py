"""Pixels of any type -> bytes, by a stated rule: what cannot be told is asked for.

Whole numbers: the fewest of 1, 8, 10, 12, 14 and 16 bits that hold the largest value of the whole
set. Real numbers: [0, 1] where all are; [-1, 1] where all are and both ends are reached; [0, 255]
where all are and more than half of it is reached. Everything else is refused, unless the values
that become black and white are given.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

WHITE = 255
_BITS = (1, 8, 10, 12, 14, 16)
# Rounding may add this share to a range.
# Images that come this far towards both ends of [-1, 1] have that range.
_SLACK, _REACHED = 1e-5, 0.95
# Images whose brightest pixel is below this are so dark that it is said.
_DARK = 64


class Extremes(NamedTuple):
    """The smallest and the largest pixel of a set."""

    low: float
    high: float


class Scale(NamedTuple):
    """The values that become black and white.

    Attributes:
        low: what becomes 0.
        high: what becomes 255.
        words: what was understood.
    """

    low: float
    high: float
    words: str


def extremes_of(blocks: Iterable[np.ndarray], what: str) -> Extremes:
    """The smallest and the largest pixel of blocks `[n, ...]`, none of which is empty.

    Raises:
        ValueError: for NaN and infinity, with the image.
    """
    low, high, first = np.inf, -np.inf, 0
    for block in blocks:
        if block.dtype.kind == "f":
            finite = np.isfinite(block.reshape(len(block), -1)).all(axis=1)
            if not finite.all():
                row = first + int(np.argmin(finite))
                raise ValueError(
                    f"expected finite pixels in {what}, got NaN or infinity in image {row}; "
                    "replace them, or leave these images out"
                )
        low, high = min(low, float(block.min())), max(high, float(block.max()))
        first += len(block)
    return Extremes(low, high)


def scale_of(
    dtype: np.dtype, extremes: Extremes, value_range: tuple[float, float] | None, what: str
) -> Scale:
    """The values of black and white pixels in a set of images.

    Args:
        dtype: type of the pixels.
        extremes: in the whole set.
        value_range: the values that become black and white; None to go by the rule.
        what: the set, in words.

    Raises:
        ValueError: where the rule does not say it; says how to.
    """
    kind = "bool" if dtype.kind == "b" else dtype.name
    if value_range is not None:
        low, high = map(float, value_range)
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"expected value_range LOW:HIGH with LOW < HIGH, got {low:g}:{high:g}")
        cut = "" if low <= extremes.low and extremes.high <= high else ", what is beyond is cut off"
        return Scale(low, high, f"{kind} from {low:g} to {high:g} as asked{cut} -> bytes")
    if dtype.kind == "b":
        return Scale(0, 1, "bool -> bytes 0 and 255")
    if dtype.kind in "ui":
        return _of_integers(kind, extremes, what)
    return _of_floats(kind, extremes, what)


def to_bytes(values: np.ndarray, scale: Scale) -> np.ndarray:
    """Values as uint8, rounded to the nearest, beyond black and white cut off."""
    if values.dtype == np.uint8 and (scale.low, scale.high) == (0, WHITE):
        return values
    levels = (values.astype(np.float64) - scale.low) * (WHITE / (scale.high - scale.low))
    return np.rint(levels).clip(0, WHITE).astype(np.uint8)


def remarks_on(scale: Scale, splits: Mapping[str, Extremes], peaks: np.ndarray) -> list[str]:
    """Remarks on bytes that look wrong, for every split and for all of them.

    Args:
        scale: how they came about.
        splits: extremes by split, before they were bytes.
        peaks: the largest byte of every image.
    """
    extremes = whole_of(splits.values())
    if extremes.low == extremes.high:
        return [f"every pixel of every image is {extremes.low:g}"]
    if (brightest := _brightest(scale, extremes)) < _DARK:
        return [
            f"dark: the largest value is {extremes.high:g}, {brightest:.0f} of 255; "
            f"--value-range={extremes.low:g}:{extremes.high:g} would make that white"
        ]
    dark_splits = [
        f"dark: the largest value of {split} is {each.high:g}, {_brightest(scale, each):.0f} of "
        "255; its pixels may be of another range than the others"
        for split, each in splits.items()
        if _brightest(scale, each) < _DARK
    ]
    dark = np.count_nonzero(peaks < _DARK)
    if dark_splits or dark <= len(peaks) / 2:
        return dark_splits
    # The largest value that these bytes were rounded from.
    share = (peaks[peaks < _DARK].max() + 0.5) / WHITE
    high = scale.low + share * (scale.high - scale.low)
    return [
        f"dark: {dark:,} of {len(peaks):,} images stay below a quarter of {scale.low:g} to "
        f"{scale.high:g}, and use a quarter of the 256 gray levels at most; --value-range="
        f"{extremes.low:g}:{high:.4g} makes them brighter, and what is above it white"
    ]


def whole_of(parts: Iterable[Extremes]) -> Extremes:
    """The extremes of several sets together."""
    lows, highs = zip(*parts, strict=True)
    return Extremes(min(lows), max(highs))


def _brightest(scale: Scale, extremes: Extremes) -> float:
    return (extremes.high - scale.low) / (scale.high - scale.low) * WHITE


def _of_integers(kind: str, extremes: Extremes, what: str) -> Scale:
    bits = next((bits for bits in _BITS if extremes.high < 2**bits), None)
    if extremes.low < 0 or bits is None:
        raise _ask(kind, extremes, what, "0 to 65535")
    if bits == 8:
        return Scale(0, WHITE, "bytes" if kind == "uint8" else f"{kind} in [0, 255] -> bytes")
    if bits == 1:
        return Scale(0, 1, f"{kind} of 0 and 1 -> bytes 0 and 255")
    most = 2**bits - 1
    return Scale(0, most, f"{kind} of {bits} bits, [0, {most}] -> bytes")


def _of_floats(kind: str, extremes: Extremes, what: str) -> Scale:
    low, high = extremes
    for least, most in ((0, 1), (-1, 1), (0, WHITE)):
        within = least - _SLACK <= low and high <= most + _SLACK * most
        signed = low <= -_REACHED and high >= _REACHED
        if within and (most == 1 or high > WHITE / 2) and (least == 0 or signed):
            return Scale(least, most, f"{kind} in [{least}, {most}] -> bytes")
    raise _ask(kind, extremes, what, "[0, 1], [-1, 1] with both ends reached, or [0, 255] past 127")


def _ask(kind: str, extremes: Extremes, what: str, expected: str) -> ValueError:
    high = extremes.high if extremes.high > extremes.low else extremes.low + 1
    return ValueError(
        f"expected {kind} pixels of {what} in {expected}, got {extremes.low:.6g} to "
        f"{extremes.high:.6g}, so that it is unknown which values are black and white: give them, "
        f"such as value_range=({extremes.low:.6g}, {high:.6g})"
    )
