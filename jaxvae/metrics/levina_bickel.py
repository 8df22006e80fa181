"""Intrinsic dimension from the distances of the first k neighbors."""

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float

from jaxvae.geometry.clouds import as_cloud
from jaxvae.geometry.host import as_results, numpy_of
from jaxvae.geometry.neighbors import checked_k, search_distinct
from jaxvae.geometry.rows import Progress
from jaxvae.metrics.dimension import Dimension, log_ratio
from jaxvae.typing import ArrayLike, EitherArray


def levina_bickel(
    x: ArrayLike,
    *,
    k: int = 20,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> Dimension:
    """Intrinsic dimension by maximum likelihood over k-nearest-neighbor balls.

    With `T_j(i)` the distance of point i to its j-th neighbor, the local
    inverse dimension is `1 / (k - 1) sum_{j < k} log(T_k(i) / T_j(i))`; the
    estimate is the inverse of its mean over all N distinct points. (The mean
    of the local dimensions, as in the first paper, is biased upwards by the
    points whose balls happen to be regular.) It measures the scale of the k-th
    neighbor, and underestimates where the cloud ends or bends at that scale.
    The cost is that of the search for k neighbors.

    Args:
        x: `[n, ...]` points; trailing axes are flattened. Scale, shift and
            rotation do not matter.
        k: neighbors of each point, 2 to n - 1. With k = 2 it is
            `two_nn_mle` times N / (N - 1).
        mesh: devices to split the points over; all its axes are used.
            Arrays that are read in tiles use one device.
        progress: called as `progress(points done, n)` after every few blocks.

    Returns:
        `Dimension`. Repeated rows are counted once; `points` says how many are
        distinct. NaN where fewer than k + 1 are, or where all k distances of
        every point are equal. The standard error is `value / sqrt(N (k - 1))`:
        that of N (k - 1) independent exponential log ratios. Points share
        neighbors, so the true spread is wider, by a measured factor of 1.1 to
        1.5 (Gaussians and cubes of 1 to 10 dimensions, k = 2 to 20); and it
        says nothing about the bias at the edges, which can be larger.

    Raises:
        ValueError: for k outside 2 to n - 1, and NaN or infinite input.

    Reference: Levina and Bickel (2005); MacKay and Ghahramani (2005) for the
    mean of the inverse.
    """
    cloud = as_cloud(x)
    k = checked_k(k, cloud.n, least=2)
    neighbors, distinct = search_distinct(cloud, k=k, mesh=mesh, progress=progress)
    return _inverse_mean_inverse(neighbors.squared, distinct)


def _inverse_mean_inverse(
    squared: Float[EitherArray, "n k"], distinct: Bool[EitherArray, " n"]
) -> Dimension:
    numpy = numpy_of(squared)
    # Rows can differ by so little that the square of it is zero in float32.
    used = distinct & (squared[:, 0] > 0) & numpy.isfinite(squared[:, -1])
    # Equal distances where a point is not used: their logarithm is zero.
    squared = numpy.where(used[:, None], squared, 1.0)
    inverse = log_ratio(squared[:, -1:], squared[:, :-1]).mean(axis=1)
    ratios = used.sum() * (squared.shape[1] - 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = used.sum() / inverse.sum()
        value = numpy.where(numpy.isfinite(value), value, np.nan)
        stderr = value / numpy.sqrt(ratios)
    return as_results(Dimension(value, stderr, distinct.sum()))
