"""Intrinsic dimension as a function of scale, from ratios of far neighbors."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from jaxvae.geometry.clouds import as_cloud, distinct
from jaxvae.geometry.neighbors import search
from jaxvae.geometry.rows import Progress
from jaxvae.metrics.levina_bickel import log_ratio
from jaxvae.typing import ArrayLike

# The start is within a factor 1.5 of the maximum and the error is squared, times 1/8
# at most, in every step: three reach float32, one is to spare.
_NEWTON_STEPS = 4
# In units of (95% quantile - median), above the median.
_OUTLYING = 20.0


class DimensionScale(NamedTuple):
    """Intrinsic dimension at growing scales, s of them.

    Attributes:
        values: `[s]`, the estimates. NaN where undefined: fewer than 3 usable
            ratios, fewer distinct points than neighbors asked for, or every
            ratio equal to one (a lattice).
        stderrs: `[s]`, standard errors as if the points' ratios were
            independent. Neighborhoods overlap, so the true spread is wider: by
            a measured factor of 1 to 1.2 at the smallest scale, up to 1.9 at
            rank 64 (1,000 points, Gaussians and cubes of 1 to 10 dimensions).
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
    cloud = distinct(as_cloud(x))
    if cloud.n < 3:
        raise ValueError(f"expected at least 3 points, got {cloud.n}")
    if max_rank < 2:
        raise ValueError(f"expected max_rank >= 2, got {max_rank}")
    scales = int(np.log2(min(max_rank, cloud.n - 1)))
    found = search(cloud, k=2**scales, mesh=mesh, progress=progress)
    return _all_scales(found.squared, cloud.present, found.exponent)


@jax.jit
def _all_scales(
    squared: Float[Array, "n k"], distinct: Bool[Array, " n"], exponent: Int[Array, ""]
) -> DimensionScale:
    m = 2 ** np.arange(int(np.log2(squared.shape[1])))
    near, far = squared[:, m - 1], squared[:, 2 * m - 1]
    values, stderrs, radii, left_out = jax.vmap(_one_scale, in_axes=(1, 1, None, 0))(
        near, far, distinct, jnp.asarray(m, jnp.float32)
    )
    radii = jnp.ldexp(radii, exponent)
    radii = jnp.where(jnp.isfinite(radii), radii, jnp.nan)
    ranks = jnp.asarray(np.stack([m, 2 * m], axis=1), jnp.int32)
    return DimensionScale(values, stderrs, radii, ranks, left_out, jnp.sum(distinct))


def _one_scale(
    near: Float[Array, " n"],
    far: Float[Array, " n"],
    distinct: Bool[Array, " n"],
    m: Float[Array, ""],
) -> tuple[Array, ...]:
    # Rows can differ by so little that the square of it is zero in float32.
    used = distinct & (near > 0) & jnp.isfinite(far)
    # Equal distances where a point is not used: their logarithm is zero.
    near, far = jnp.where(used, near, 1.0), jnp.where(used, far, 1.0)
    log_mu = log_ratio(far, near)
    kept = used & ~_outlying(log_mu, used)
    value = _most_likely(log_mu, kept, m)
    value = jnp.where((jnp.sum(kept) >= 3) & jnp.isfinite(value), value, jnp.nan)
    radius = jnp.mean((jnp.sqrt(near) + jnp.sqrt(far)) / 2, where=used)
    error = value / jnp.sqrt(_information(value * log_mu, used, m))
    return value, error, radius, jnp.sum(used & ~kept)


def _outlying(log_mu: Float[Array, " n"], used: Bool[Array, " n"]) -> Bool[Array, " n"]:
    above_one = jnp.expm1(log_mu)
    median, high = jnp.nanquantile(jnp.where(used, above_one, jnp.nan), jnp.array([0.5, 0.95]))
    return above_one > median + _OUTLYING * (high - median)


def _most_likely(
    log_mu: Float[Array, " n"], kept: Bool[Array, " n"], m: Float[Array, ""]
) -> Float[Array, ""]:
    """Where the score `(N - 1) + sum_i (m - 1) h(t_i) - m t_i` is zero, `t = d log mu`.

    The score falls and is convex in d, so Newton's method cannot leave the
    interval between its start, the root of the tangent at d = 0, and the maximum.
    """
    count = jnp.sum(kept).astype(jnp.float32)
    start = 2 * (m * count - 1) / ((3 * m - 1) * jnp.sum(log_mu, where=kept))

    def step(_: int, d: Float[Array, ""]) -> Float[Array, ""]:
        t = d * log_mu
        h = _h(t)
        score = count - 1 + jnp.sum((m - 1) * h - m * t, where=kept)
        descent = jnp.sum((m - 1) * h * (h + t - 1) + m * t, where=kept)
        return d + d * score / descent

    return lax.fori_loop(0, _NEWTON_STEPS, step, start)


def _information(
    t: Float[Array, " n"], used: Bool[Array, " n"], m: Float[Array, ""]
) -> Float[Array, ""]:
    """Observed Fisher information of d, times d squared."""
    h = _h(t)
    return jnp.sum(1 + (m - 1) * h * (h + t), where=used)


def _h(t: Float[Array, " n"]) -> Float[Array, " n"]:
    """`t / (e^t - 1)`, 1 at 0; its derivative is `h (1 - h - t) / t`."""
    return jnp.where(t > 0, t / jnp.expm1(jnp.where(t > 0, t, 1.0)), 1.0)
