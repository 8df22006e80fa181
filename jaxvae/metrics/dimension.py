"""Intrinsic dimension from the ratio of the two nearest distances."""

from typing import NamedTuple

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from jaxvae.geometry.clouds import as_cloud
from jaxvae.geometry.host import as_results, numpy_of, sort
from jaxvae.geometry.neighbors import search_distinct
from jaxvae.geometry.rows import Progress
from jaxvae.typing import ArrayLike, EitherArray

OVERLAP = 1.2
"""The spread of TwoNN between clouds of a few dimensions, as a multiple of its standard error."""


class Dimension(NamedTuple):
    """An intrinsic dimension with its uncertainty.

    Attributes:
        value: `[]`, the estimate, at least 0. NaN where it is undefined: fewer
            than 3 distinct points, every ratio that enters equal to one (a
            lattice), or a `discard` that leaves no ratio to enter.
        stderr: `[]`, standard error as if the points' ratios were independent.
            Neighbors share distances, so the true spread is wider: by a factor
            of 1.2 for Gaussians of 5 dimensions.
        points: `[]`, the number of distinct points it rests on; n minus this
            many rows were repetitions and left out.
    """

    value: Float[Array, ""]
    stderr: Float[Array, ""]
    points: Int[Array, ""]


def two_nn(
    x: ArrayLike,
    *,
    discard: float = 0.1,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> Dimension:
    """Intrinsic dimension by the two-nearest-neighbors fit (TwoNN).

    With `mu_i` the ratio of the second to the first neighbor distance of point
    i, sorted, the estimate is the slope through the origin of
    `-log(1 - i / N)` on `log mu_i` over the lowest `1 - discard` of the ratios.
    It measures the scale of the nearest neighbors, and underestimates above
    about 10 dimensions at the usual n: compare with a Gaussian of known
    dimension and the same n.

    Args:
        x: `[n, ...]` points; trailing axes are flattened. Scale, shift and
            rotation do not matter.
        discard: share of the largest ratios left out, 0 <= discard < 1; with 0
            only the largest one, whose ordinate is infinite, is.
        mesh: devices to split the points over; all its axes are used.
            Arrays that are read in tiles use one device.
        progress: called as `progress(points done, n)` after every few blocks.

    Returns:
        `Dimension`. Repeated rows are counted once; `points` says how many are
        distinct. The standard error follows from the order statistics of N
        independent ratios.

    Raises:
        ValueError: for discard outside [0, 1), fewer than 3 points, and NaN or
            infinite input.

    Reference: Facco, d'Errico, Rodriguez and Laio (2017).
    """
    if not 0 <= discard < 1:
        raise ValueError(f"expected 0 <= discard < 1, got {discard}")
    return _fit(_log_ratios(x, mesh, progress), discard)


def two_nn_mle(
    x: ArrayLike,
    *,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> Dimension:
    """Intrinsic dimension by the maximum likelihood of the two-neighbor ratios.

    `(N - 1) / sum_i log mu_i` over all N distinct points, `mu_i` being the ratio
    of the second to the first neighbor distance: the unbiased form of the
    maximum of the Pareto likelihood `d mu^(-d - 1)`.

    Args:
        x: `[n, ...]` points; trailing axes are flattened.
        mesh: devices to split the points over; all its axes are used.
            Arrays that are read in tiles use one device.
        progress: called as `progress(points done, n)` after every few blocks.

    Returns:
        `Dimension`, with standard error `value / sqrt(N - 2)`.

    Raises:
        ValueError: for fewer than 3 points, and NaN or infinite input.

    Reference: Facco, d'Errico, Rodriguez and Laio (2017); Denti, Doimo, Laio
    and Mira (2022) for the unbiased form.
    """
    return _maximum_likelihood(_log_ratios(x, mesh, progress))


class _LogRatios(NamedTuple):
    """log mu of the distinct points, ascending.

    Attributes:
        values: `[n]`, infinite beyond the first `used`.
        used: `[]`, points with a ratio.
        points: `[]`, distinct points.
    """

    values: Float[Array, " n"]
    used: Int[Array, ""]
    points: Int[Array, ""]


def _log_ratios(x: ArrayLike, mesh: Mesh | None, progress: Progress | None) -> _LogRatios:
    cloud = as_cloud(x)
    if cloud.n < 3:
        raise ValueError(f"expected at least 3 points, got {cloud.n}")
    neighbors, distinct = search_distinct(cloud, k=2, mesh=mesh, progress=progress)
    numpy, (nearest, second) = numpy_of(neighbors.squared), neighbors.squared.T
    # Rows can differ by so little that the square of it is zero in float32.
    valid = distinct & (nearest > 0) & numpy.isfinite(second)
    # Equal distances where a point is not used: their logarithm is zero.
    values = log_ratio(numpy.where(valid, second, 1.0), numpy.where(valid, nearest, 1.0))
    values = sort(numpy.where(valid, values, np.inf))
    return _LogRatios(values, valid.sum(), distinct.sum())


def log_ratio(
    far: Float[EitherArray, "*b"], near: Float[EitherArray, "*b"]
) -> Float[EitherArray, "*b"]:
    """`log(r_far / r_near)` of two distances given by their squares, 0 < near <= far."""
    numpy = numpy_of(near)
    unit = numpy.sqrt(near)
    # mu - 1 = (R - r) / r without cancellation; a ratio of squares could overflow.
    return numpy.log1p((far - near) / (numpy.sqrt(far) + unit) / unit)


def _fit(ratios: _LogRatios, discard: float) -> Dimension:
    numpy, n, count = numpy_of(ratios.values), len(ratios.values), ratios.used
    rank = numpy.arange(1, n + 1)
    # A table on the host: float32 would round (1 - discard) N across whole numbers.
    # A share such as 0.8 is itself rounded.
    kept = np.floor((1 - discard) * np.arange(n + 1) * (1 + 4 * np.finfo(float).eps))
    kept_of = numpy.asarray(kept.astype(np.int32))
    used = (rank <= kept_of[count]) & (rank < count)
    x = numpy.where(used, ratios.values, 0.0)
    share = numpy.where(used, rank / numpy.maximum(count, 1), 0.0)
    y = -numpy.log1p(-share)
    # An exponential order statistic is a sum of independent gaps Z_m / (N - m + 1).
    loads = numpy.cumsum(y[::-1])[::-1] / numpy.maximum(count - rank + 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (x * y).sum() / (x * x).sum()
        relative_error = numpy.sqrt((loads**2).sum()) / (y * y).sum()
    return _where_defined(value, relative_error, ratios)


def _maximum_likelihood(ratios: _LogRatios) -> Dimension:
    numpy, used = numpy_of(ratios.values), ratios.used
    total = numpy.where(numpy.isfinite(ratios.values), ratios.values, 0.0).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (used - 1) / total
    return _where_defined(value, 1 / numpy.sqrt(numpy.maximum(used - 2, 1)), ratios)


def _where_defined(
    value: EitherArray, relative_error: EitherArray, ratios: _LogRatios
) -> Dimension:
    numpy = numpy_of(ratios.values)
    value = numpy.where((ratios.used >= 3) & numpy.isfinite(value), value, np.nan)
    return as_results(Dimension(value, value * relative_error, ratios.points))
