"""The intrinsic dimension of images, and whether it can be told from as many as there are."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxvae.metrics import gride, two_nn
from jaxvae.metrics.dimension import OVERLAP
from jaxvae.typing import ArrayLike

# The dimension is sure to so many standard errors.
_SURE = 3.0
_FARTHEST = 32
# The ID at two scales may differ by this factor.
# The standard error may be this share of the ID.
# At least so many distinct points are needed.
# Above this dimension TwoNN falls behind even with thousands of points.
_MOST_BETWEEN_SCALES, _MOST_ERROR, _LEAST_POINTS, _HIGH = 1.5, 0.1, 200, 10.0


class DataDimension(NamedTuple):
    """The intrinsic dimension of images.

    Attributes:
        value: TwoNN; NaN where it is undefined.
        stderr: its standard error, neighborhoods that overlap allowed for.
        points: distinct images that it rests on.
        scales: Gride, from near to far neighbors.
        neighbors: the farther of the two neighbors compared, of every scale.
        doubts: why the value is not to be relied on; none where it is.
    """

    value: float
    stderr: float
    points: int
    scales: Float[np.ndarray, " s"]
    neighbors: tuple[int, ...]
    doubts: tuple[str, ...]

    @property
    def fewest_latents(self) -> int:
        """The fewest latents that can hold the images, as far as is sure; 0 where nothing is.

        The next whole number from three standard errors below the smallest dimension of all
        scales, since noise raises that of near neighbors: fewer latents cannot keep all
        neighbors. Where the value is in doubt, nothing is sure.
        """
        if self.doubts:
            return 0
        return math.ceil(min(self.value, *self.scales) - _SURE * self.stderr)

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
            f"{self.points:,} images); over scales (Gride): {scales}."
        )
        if self.doubts:
            text += f" It cannot be relied on, because {'; '.join(self.doubts)}."
        return text


def data_dimension(images: ArrayLike) -> DataDimension:
    """The dimension of some images, with the reasons to doubt it.

    It is doubted where fewer than 200 images are distinct, where its standard error is above
    10%, where its scales differ by more than half, and above 10, where TwoNN underestimates at
    the usual n.

    Args:
        images: `[n, ...]`, three at least.
    """
    estimate, scale = two_nn(images), gride(images, max_rank=min(_FARTHEST, len(images) - 1))
    value, error = float(estimate.value), OVERLAP * float(estimate.stderr)
    scales, points = np.asarray(scale.values, float), int(estimate.points)
    ranks = tuple(int(rank) for rank in np.asarray(scale.ranks)[:, 1])
    return DataDimension(value, error, points, scales, ranks, _doubts(value, error, scales, points))


def _doubts(
    value: float, error: float, scales: Float[np.ndarray, " s"], points: int
) -> tuple[str, ...]:
    if not np.isfinite(value):
        return ("it is undefined for these images",)
    known = scales[np.isfinite(scales)]
    ratio = known.max() / known.min() if len(known) else np.inf
    doubts = {
        f"there are only {points:,} distinct images": points < _LEAST_POINTS,
        f"its error is {error / value:.0%}": error > _MOST_ERROR * value,
        f"its scales differ by a factor of {ratio:.1f}": ratio > _MOST_BETWEEN_SCALES,
        f"above {_HIGH:.0f} it is too small with {points:,} images: take it as a lower bound": (
            value > _HIGH
        ),
    }
    return tuple(text for text, holds in doubts.items() if holds)
