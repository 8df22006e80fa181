"""Intrinsic dimension as a function of scale, from ratios of far neighbors."""

from functools import partial
from typing import NamedTuple

import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from jaxvae.files.refusals import as_count
from jaxvae.geometry.clouds import as_cloud
from jaxvae.geometry.host import as_results, numpy_of
from jaxvae.geometry.neighbors import search_distinct
from jaxvae.geometry.rows import Progress
from jaxvae.metrics.dimension import log_ratio
from jaxvae.typing import ArrayLike, EitherArray

# The start is within a factor 1.5 of the maximum and the error is squared, times 1/8
# at most, in every step: three reach float32, one is to spare.
_NEWTON_STEPS = 4
# A ratio is outlying so many times (95% quantile - median) above the median.
_OUTLYING = 20.0


class DimensionScale(NamedTuple):
    """Intrinsic dimension at growing scales, s of them.

    Attributes:
        values: `[s]`, the estimates. NaN where undefined: fewer than 3 usable
            ratios, fewer distinct points than neighbors asked for, or a 95%
            quantile of the ratios of one (a lattice), as the rest is left out.
        stderrs: `[s]`, standard errors as if the points' ratios were
            independent. Neighborhoods overlap, so the true spread is wider: by
            a measured factor of 1.1 to 1.4 at the smallest scale, and of 1.1 to
            2.2 at rank 64 of 1,000 points and 1.2 to 2.8 of 300 (Gaussians and
            cubes of 1 to 10 dimensions), most in one and two dimensions.
            `jackknife_error` is an upper bound.
        radii: `[s]`, mean over the points of the two distances, in units of the
            input: the scale at which the estimate looks. NaN above the largest
            float32, and where there is no estimate to be had.
        ranks: int32 `[s, 2]`, the neighbors (m, 2m) whose distances are compared.
        left_out: `[s]`, ratios left out as outlying.
        points: `[]`, the number of distinct points all this rests on.
    """

    values: Float[Array, " s"]
    stderrs: Float[Array, " s"]
    radii: Float[Array, " s"]
    ranks: Int[Array, "s 2"]
    left_out: Int[Array, " s"]
    points: Int[Array, ""]


def gride(
    x: ArrayLike,
    *,
    max_rank: int = 64,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> DimensionScale:
    """Intrinsic dimension by the generalized ratios estimator (Gride), over scales.

    With `mu_i = r_2m(i) / r_m(i)` the ratio of the distances of point i to its
    neighbors of ranks 2m and m, the likelihood of a dimension d is the product
    over the points of

        `d (mu^d - 1)^(m - 1) / (mu^((2m - 1) d + 1) B(m, m))`.

    For every m = 1, 2, 4, ... with 2m <= max_rank it is maximized, N - 1 taking
    the place of N in front of `log d` (unbiased at m = 1, where Gride is
    `two_nn_mle`). A flat curve over the radii is a dimension; a curve that
    falls at small radii is noise, one that changes at large ones curvature or
    the edge of the cloud.

    As in the authors' software, ratios more than 20 times as far above the
    median as the 95% quantile is are left out of the maximum, not out of the
    error. In theory this matters at m = 1 alone and raises a dimension of 1 by 1.7%,
    of 2 by 0.2%, of 3 by 0.04%; `left_out` says how many they are.

    The cost is that of one search for `max_rank` neighbors, plus a few passes
    over the n log2(max_rank) ratios.

    Args:
        x: `[n, ...]` points; trailing axes are flattened. Only the radii change
            with scale; nothing with shift and rotation.
        max_rank: the farthest neighbor, at least 2; ranks above n - 1 are left
            out, so that small clouds have fewer scales.
        mesh: devices to split the points over; all its axes are used.
            Arrays that are read in tiles use one device.
        progress: called as `progress(points done, n)` after every few blocks.

    Returns:
        `DimensionScale`, smallest scale first. Repeated rows are counted once.
        A ratio of one (a tie) counts with the limit of its score, m / d. The
        standard error is `J^(-1/2)`, J being the observed Fisher information.

    Raises:
        ValueError: for fewer than 3 points, max_rank < 2, and NaN or infinite
            input.

    Reference: Denti, Doimo, Laio and Mira (2022); Glielmo et al. (2022, DADApy)
    for the outlying ratios.
    """
    cloud = as_cloud(x)
    if cloud.n < 3:
        raise ValueError(f"expected at least 3 points, got {cloud.n}")
    max_rank = as_count(max_rank, f"expected max_rank >= 2, got {max_rank}", least=2)
    scales = int(np.log2(min(max_rank, cloud.n - 1)))
    neighbors, distinct = search_distinct(cloud, k=2**scales, mesh=mesh, progress=progress)
    return _all_scales(neighbors.squared, distinct, neighbors.exponent)


def _all_scales(
    squared: Float[EitherArray, "n k"],
    distinct: Bool[EitherArray, " n"],
    exponent: Int[EitherArray, ""],
) -> DimensionScale:
    numpy, ranks = numpy_of(squared), 2 ** np.arange(int(np.log2(squared.shape[1])))
    each = squared.T[ranks - 1], squared.T[2 * ranks - 1], ranks.astype(np.float32)
    one_scale = partial(_one_scale, distinct=distinct)
    if numpy is np:
        scales = list(map(one_scale, *each))
        values, stderrs, radii, left_out = map(np.stack, zip(*scales, strict=True))
    else:
        # One after another in a loop, which compiles in the time of one.
        values, stderrs, radii, left_out = lax.map(lambda scale: one_scale(*scale), each)
    with np.errstate(over="ignore"):
        radii = numpy.ldexp(radii.astype(np.float32), exponent)
    radii = numpy.where(numpy.isfinite(radii), radii, np.nan)
    ranks = np.stack([ranks, 2 * ranks], axis=1)
    points: EitherArray = distinct.sum()
    return DimensionScale(*as_results((values, stderrs, radii, ranks, left_out, points)))


def _one_scale(
    near: Float[EitherArray, " n"],
    far: Float[EitherArray, " n"],
    m: Float[EitherArray, ""],
    *,
    distinct: Bool[EitherArray, " n"],
) -> tuple[EitherArray, ...]:
    numpy = numpy_of(near)
    # Rows can differ by so little that the square of it is zero in float32.
    used = distinct & (near > 0) & numpy.isfinite(far)
    # Equal distances where a point is not used: their logarithm is zero.
    near, far = numpy.where(used, near, 1.0), numpy.where(used, far, 1.0)
    log_mu = log_ratio(far, near)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        kept = used & ~_outlying(log_mu, used)
        value = _most_likely(log_mu, kept, m)
        value = numpy.where((kept.sum() >= 3) & numpy.isfinite(value), value, np.nan)
        radius = numpy.where(used, (numpy.sqrt(near) + numpy.sqrt(far)) / 2, 0.0).sum() / used.sum()
        error = value / numpy.sqrt(_information(value * log_mu, used, m))
    return value, error, radius, (used & ~kept).sum()


def _outlying(
    log_mu: Float[EitherArray, " n"], used: Bool[EitherArray, " n"]
) -> Bool[EitherArray, " n"]:
    numpy, above_one = numpy_of(log_mu), numpy_of(log_mu).expm1(log_mu)
    # The numpy of a host warns of a cloud of which no point is used.
    known = numpy.where(used | ~used.any(), above_one, np.nan)
    median, high = numpy.nanquantile(known, np.array([0.5, 0.95], np.float32))
    return above_one > median + _OUTLYING * (high - median)


def _most_likely(
    log_mu: Float[EitherArray, " n"], kept: Bool[EitherArray, " n"], m: Float[EitherArray, ""]
) -> Float[EitherArray, ""]:
    """Where the score `(N - 1) + sum_i (m - 1) h(t_i) - m t_i` is zero, `t = d log mu`.

    The score falls and is convex in d, so Newton's method cannot leave the
    interval between its start, the root of the tangent at d = 0, and the maximum.
    """
    numpy, count = numpy_of(log_mu), kept.sum()
    log_mu = numpy.where(kept, log_mu, 0.0)

    d = 2 * (m * count - 1) / ((3 * m - 1) * log_mu.sum())
    for _ in range(_NEWTON_STEPS):
        t = d * log_mu
        h = numpy.where(kept, _h(t), 0.0)
        score = count - 1 + ((m - 1) * h - m * t).sum()
        descent = ((m - 1) * h * (h + t - 1) + m * t).sum()
        d = d + d * score / descent
    return d


def _information(
    t: Float[EitherArray, " n"], used: Bool[EitherArray, " n"], m: Float[EitherArray, ""]
) -> Float[EitherArray, ""]:
    """Observed Fisher information of d, times d squared."""
    h = _h(t)
    return numpy_of(t).where(used, 1 + (m - 1) * h * (h + t), 0.0).sum()


def _h(t: Float[EitherArray, " n"]) -> Float[EitherArray, " n"]:
    """`t / (e^t - 1)`, 1 at 0; its derivative is `h (1 - h - t) / t`."""
    numpy = numpy_of(t)
    return numpy.where(t > 0, t / numpy.expm1(numpy.where(t > 0, t, 1.0)), 1.0)
