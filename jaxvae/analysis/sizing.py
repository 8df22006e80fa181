"""Which bottlenecks to train next, to find the smallest sufficient one with few models."""

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxvae.analysis.advice import (
    MOST_COUNTED,
    TOLERANCE,
    Advice,
    keep_less_in_the_means,
    sufficient_bottleneck,
)
from jaxvae.geometry.arrays import as_float64

MOST_SEEDS = 8
"""Trainings of every size, at most, unless `MOST_DECIDING` would decide."""

MOST_DECIDING = 12
"""Trainings of every size, at most, where so many are expected to decide."""

LARGEST = 512
"""The largest bottleneck that is tried, unless the data need so many latents; `largest_size`."""

_FIRST_SEEDS = 3
# Where more than these would be needed, other sizes tell more than further seeds.
_TOO_MANY_SEEDS = 2 * MOST_SEEDS
# The size to begin with, then its double and again, where the dimension of the data is not known.
_USUAL = 4


class SizeBounds(NamedTuple):
    """The sizes between which the smallest sufficient bottleneck lies.

    Attributes:
        insufficient: the largest size known not to be sufficient; 0 where none is. All smaller
            ones are taken to be insufficient too.
        sufficient: the smallest size shown to be sufficient, None where none is.
    """

    insufficient: int
    sufficient: int | None

    @property
    def is_decided(self) -> bool:
        """Whether only one size is left."""
        return self.sufficient == self.insufficient + 1

    def at_least(self, fewest: int) -> "SizeBounds":
        """The bounds that are left where no size below the fewest latents can be sufficient."""
        sufficient = None if self.sufficient is None else max(self.sufficient, fewest)
        return SizeBounds(max(self.insufficient, fewest - 1), sufficient)

    def __str__(self) -> str:
        """The sizes that are left: `12`, `9 to 16`, `9 or more`."""
        if self.sufficient is None:
            return f"{self.insufficient + 1} or more"
        if self.is_decided:
            return str(self.sufficient)
        return f"{self.insufficient + 1} to {self.sufficient}"


class Training(NamedTuple):
    """The models to train: every size with every seed from 0 on.

    Attributes:
        sizes: ascending.
        seeds: how many.
        reason: in words.
    """

    sizes: tuple[int, ...]
    seeds: int
    reason: str


def largest_size(fewest: int) -> int:
    """The largest bottleneck that is tried of data that need so many latents at least.

    That is `LARGEST`, or twice the fewest latents if these are more: one size alone tells nothing.
    """
    return max(LARGEST, 2 * fewest)


def first_training(dimension: float, stderr: float = 0.0, *, fewest: int = 0) -> Training:
    """A size below the intrinsic dimension of the data, one above, and twice that.

    Below and above by two standard errors, so that two sizes next to each other are left to try
    where the dimension is well known and a bottleneck of that size is enough.

    Args:
        dimension: dimension of the data, which may be NaN.
        stderr: its standard error.
        fewest: latents that the data need at least, where that is known: no smaller size is tried.
    """
    if not (math.isfinite(dimension) and math.isfinite(stderr) and dimension > 0):
        least = max(_USUAL, fewest)
        return Training((least, 2 * least, 4 * least), _FIRST_SEEDS, "a usual range")
    above = min(max(2, math.ceil(dimension + 2 * stderr)), LARGEST // 2)
    below = min(max(1, math.floor(dimension - 2 * stderr)), above - 1)
    below = max(below, fewest)
    above = max(above, below)
    why = f"around the likely dimension of the data, {dimension:.1f} ± {stderr:.1f}"
    return Training(tuple(sorted({below, above, 2 * above})), _FIRST_SEEDS, why)


def bounds_of(sizes: Int[np.ndarray, " k"], advice: Advice) -> SizeBounds:
    """Bounds of the smallest sufficient size, from what `sufficient_bottleneck` finds by default.

    Args:
        sizes: the sizes that were given to it, ascending.
        advice: its result.
    """
    sizes = np.asarray(sizes)
    enough = sizes[advice.upper < TOLERANCE]
    sufficient = int(enough.min()) if len(enough) else None
    short = sizes[advice.lower > TOLERANCE]
    if sufficient is not None:
        short = short[short < sufficient]
    return SizeBounds(int(short.max(initial=0)), sufficient)


def next_training(
    sizes: Int[np.ndarray, " k"],
    imbalance: Float[np.ndarray, "k s"],
    *,
    fewest: int = 0,
    failed: Collection[int] = (),
) -> Training | None:
    """The models to train next, which depend on the measurements so far alone.

    - As long as no number of seeds would show a size to be sufficient, because Delta still falls
      to the largest: double the largest. Not where the largest keeps less than a smaller one
      (`keep_less_in_the_means`): longer training may decide, and no larger size.
    - Where seeds would: add half as many as there are, at least one, at most as many as needed.
    - Where a size is shown to be sufficient: halve the smallest, unless that is shown to be
      insufficient; then try the middle between the two. Where sizes between are undecided, add
      seeds, if 16 would decide them or fewer; otherwise first try what is left below the smallest
      and above the largest of them, which narrows the answer sooner. With 8 seeds or more no
      size is added beside an undecided one: it may vary more, and seeds could not make up for
      that.
    - There are up to 8 seeds, and up to 12 where so many are expected to decide.

    Args:
        sizes: sizes that are trained, ascending, two at least.
        imbalance: Delta(output -> input) of every size and seed, positive.
        fewest: latents that the data need at least, where that is known: no smaller size is tried.
        failed: sizes that were tried and have no measurements: they are not tried again.

    Returns:
        All sizes and seeds that are wanted, or None where one size is left, or nothing that may
        be tried would change that.

    Raises:
        ValueError: as `sufficient_bottleneck`.
    """
    imbalance = as_float64(imbalance)
    advice = sufficient_bottleneck(sizes, imbalance)
    bounds = bounds_of(sizes, advice).at_least(fewest)
    tried, seeds = tuple(int(size) for size in sizes), imbalance.shape[1]
    if bounds.sufficient is None:
        # From one seed nobody knows how many would do.
        if advice.seeds is not None or seeds == 1:
            return _more_seeds(tried, seeds, advice.seeds)
        worse = keep_less_in_the_means(imbalance)[-1]
        return None if worse else _doubled(tried, seeds, fewest)
    if bounds.is_decided:
        return None
    undecided = bounds.insufficient + 1 < tried[0] < bounds.sufficient
    if bounds.sufficient == tried[0] or (undecided and seeds < MOST_SEEDS):
        smaller = max(tried[0] // 2, bounds.insufficient + 1)
        reason = f"{bounds.sufficient} is enough{f', {tried[0]} may be' if undecided else ''}"
        return Training((smaller, *tried), seeds, f"{reason}: a smaller one")
    between = [size for size in tried if bounds.insufficient < size < bounds.sufficient]
    middle = _middle(bounds.insufficient, between, bounds.sufficient, failed)
    seeds_tell = (advice.seeds or MOST_COUNTED) <= _TOO_MANY_SEEDS
    if middle is None or (between and (seeds_tell or seeds >= MOST_SEEDS)):
        return _more_seeds(tried, seeds, advice.seeds) if between else None
    reason = f"{bounds.sufficient} is enough, {bounds.insufficient or 'none'} is not: between them"
    return Training(tuple(sorted((*tried, middle))), seeds, reason)


def _middle(
    insufficient: int, undecided: Sequence[int], sufficient: int, failed: Collection[int]
) -> int | None:
    """The middle of the gap below or above the undecided sizes, or between the two others.

    Of the wider gap, as a ratio, unless that size has failed; None where there is none to try.
    """
    lower = (insufficient, min(undecided, default=sufficient))
    upper = (max(undecided, default=insufficient), sufficient)
    wider = sorted((lower, upper), key=lambda gap: -gap[1] / max(gap[0], 1))
    middles = [(below + above) // 2 for below, above in wider if above - below > 1]
    return next((middle for middle in middles if middle not in failed), None)


def _doubled(tried: tuple[int, ...], seeds: int, fewest: int) -> Training | None:
    larger = max(2 * tried[-1], fewest)
    if larger > largest_size(fewest):
        return None
    return Training((*tried, larger), seeds, f"Delta still falls at {tried[-1]}: a larger one")


def _more_seeds(tried: tuple[int, ...], seeds: int, wanted: int | None) -> Training | None:
    most = MOST_DECIDING if wanted is not None and wanted <= MOST_DECIDING else MOST_SEEDS
    more = max(seeds + 1, min(wanted or most, math.ceil(1.5 * seeds)))
    if seeds >= most:
        return None
    return Training(tried, min(more, most), "undecided between trainings: more seeds")
