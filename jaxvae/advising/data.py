"""The intrinsic dimension of images, and whether it can be told from as many as there are."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxvae.metrics import gride, two_nn
from jaxvae.metrics.dimension import OVERLAP, Dimension
from jaxvae.metrics.gride import DimensionScale
from jaxvae.typing import ArrayLike

# The dimension is sure to so many standard errors.
_SURE = 3.0
_FARTHEST = 32
# The largest estimate, over scales and after smoothing, may be so many times the smallest.
_MOST_BETWEEN_SCALES = 1.5
# The standard error may be this share of the dimension.
_MOST_ERROR = 0.1
_LEAST_POINTS = 200
# Above this dimension TwoNN is too small with thousands of points.
_HIGH = 10.0
# Images are smoothed to this many rows and columns at most, by a Gaussian of two of them.
_SMOOTH_PIXELS, _SMOOTH_DEVIATION = 28, 2.0


class DataDimension(NamedTuple):
    """The intrinsic dimension of images.

    Attributes:
        value: TwoNN; NaN where it is undefined.
        stderr: its standard error, neighborhoods that overlap allowed for.
        points: distinct images that it rests on.
        scales: Gride, from near to far neighbors.
        neighbors: the farther of the two neighbors compared, of every scale.
        smoothed: TwoNN, then Gride from near to far neighbors, of the images after smoothing; none
            of points that are no images.
        doubts: why the value is not to be relied on; none where it is.
    """

    value: float
    stderr: float
    points: int
    scales: Float[np.ndarray, " s"]
    neighbors: tuple[int, ...]
    smoothed: tuple[float, ...]
    doubts: tuple[str, ...]

    @property
    def fewest_latents(self) -> int:
        """The fewest latents that can hold the images, as far as is sure; 0 where nothing is.

        The next whole number from three standard errors below `smallest`: fewer latents cannot keep
        all neighbors. Noise of pixels raises the dimension of near neighbors, and
        sharp edges that of all scales: where an edge moves across pixels, the squared distance
        grows as the path, not as its square, which doubles the dimension. Smoothing takes most of
        both away. Where the value is in doubt, nothing is sure.
        """
        return 0 if self.doubts else math.ceil(self.smallest - _SURE * self.stderr)

    @property
    def smallest(self) -> float:
        """The smallest of TwoNN, Gride, and TwoNN after smoothing; NaN where TwoNN is.

        Without Gride after smoothing, which is too small for details that smoothing weakens.
        """
        if not math.isfinite(self.value):
            return math.nan
        return float(np.nanmin([self.value, *self.scales, *self.smoothed[:1]]))

    @property
    def likely(self) -> float:
        """The dimension to begin with: TwoNN, or `smallest` where the estimates differ by half."""
        estimates = (self.value, *self.scales, *self.smoothed)
        return self.smallest if _ratio(estimates) > _MOST_BETWEEN_SCALES else self.value

    def __str__(self) -> str:
        """The dimension and the doubts in sentences."""
        if not np.isfinite(self.value):
            return (
                "The intrinsic dimension of the data is not known: TwoNN is undefined for these "
                f"{self.points:,} images, as where all are equally far apart."
            )
        scales = ", ".join(
            f"{value:.1f} at neighbor {rank}"
            for rank, value in zip(self.neighbors, self.scales, strict=True)
        )
        text = (
            f"The intrinsic dimension of the data is {self.value:.1f} ± {self.stderr:.1f} (TwoNN, "
            f"{self.points:,} images); over scales (Gride): {scales}"
        )
        text += f"; TwoNN after smoothing: {self.smoothed[0]:.1f}." if self.smoothed else "."
        if self.doubts:
            text += f" It cannot be relied on, because {'; '.join(self.doubts)}."
        return text


def data_dimension(images: ArrayLike) -> DataDimension:
    """The dimension of some images, with the reasons to doubt it.

    It is doubted where fewer than 200 images are distinct, where its standard error is above
    10%, where its estimates over scales and after smoothing differ by more than half, and above 10,
    where TwoNN underestimates at the usual n. Noise and sharp edges give smaller estimates
    among far neighbors or after smoothing. Images that curve, as those of an arm that turns, give
    larger ones among far neighbors; where there are so few that near neighbors are far apart, all
    estimates are too large. Images are smoothed by a Gaussian of a fourteenth of their height and
    width.

    Args:
        images: `[n, h, w]` or `[n, h, w, c]`, three at least, without copies, which smoothing would
            tell apart by rounding; other points are not smoothed.
    """
    estimate, scale = _estimates(images)
    value, error = float(estimate.value), OVERLAP * float(estimate.stderr)
    scales, points = np.asarray(scale.values, float), int(estimate.points)
    ranks = tuple(int(rank) for rank in np.asarray(scale.ranks)[:, 1])
    smoothed: tuple[float, ...] = ()
    if np.ndim(images) in (3, 4):
        near, far = _estimates(_smooth(images))
        smoothed = (float(near.value), *np.asarray(far.values, float).tolist())
    doubts = _doubts(value, error, [*scales, *smoothed], points)
    return DataDimension(value, error, points, scales, ranks, smoothed, doubts)


def _estimates(points: ArrayLike) -> tuple[Dimension, DimensionScale]:
    """TwoNN, and Gride over scales."""
    return two_nn(points), gride(points, max_rank=min(_FARTHEST, len(points) - 1))


def _smooth(images: ArrayLike) -> Float[np.ndarray, "n i j *c"]:
    """Images weighted by Gaussians around at most so many rows and columns."""
    rows, columns = (_smoothing(size) for size in np.shape(images)[1:3])
    # As floats they take four times the memory, so not all at once.
    parts = np.array_split(np.asarray(images), math.ceil(len(images) / 256))
    smooth = partial(np.einsum, "ih,nhw...,jw->nij...", optimize=True)
    return np.concatenate([smooth(rows, part.astype(np.float32), columns) for part in parts])


def _smoothing(size: int) -> Float[np.ndarray, "i h"]:
    """The weights of the pixels of a column, for every row that is left."""
    count = min(size, _SMOOTH_PIXELS)
    step = size / count
    away = (np.arange(count)[:, None] + 0.5) * step - (np.arange(size) + 0.5)
    weights = np.exp(-((away / (_SMOOTH_DEVIATION * size / _SMOOTH_PIXELS)) ** 2) / 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _doubts(value: float, error: float, others: Sequence[float], points: int) -> tuple[str, ...]:
    if not np.isfinite(value):
        return ("it is undefined for these images",)
    estimates = [value, *others]
    ratio = _ratio(estimates)
    apart = ratio > _MOST_BETWEEN_SCALES
    # Which of the others are farther from it, the larger or the smaller ones.
    grows = np.nanmax(estimates) * np.nanmin(estimates) > value**2
    cause = "where images curve" if grows else "with noise or sharp edges"
    doubts = {
        f"there are only {points:,} distinct images": points < _LEAST_POINTS,
        f"its error is {error / value:.0%}": error > _MOST_ERROR * value,
        f"its estimates differ by a factor of {ratio:.1f}, as {cause}": apart,
        f"above {_HIGH:.0f} it is too small with {points:,} images: take it as a lower bound": (
            value > _HIGH and not apart
        ),
    }
    return tuple(text for text, holds in doubts.items() if holds)


def _ratio(estimates: Sequence[float]) -> float:
    """The largest over the smallest of those that are known; NaN where none is."""
    known = np.array([each for each in estimates if np.isfinite(each)])
    return float(known.max() / known.min()) if len(known) else math.nan
