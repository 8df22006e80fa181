"""Intrinsic dimension from the ratio of the two nearest distances."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from jaxvae.geometry.clouds import as_cloud, distinct
from jaxvae.geometry.neighbors import search
from jaxvae.geometry.rows import Progress
from jaxvae.typing import ArrayLike


class Dimension(NamedTuple):
    """An intrinsic dimension with its uncertainty.

    Attributes:
        value: `[]`, the estimate, at least 0. NaN where it is undefined: fewer
            than 3 distinct points, or every ratio equal to one (a lattice).
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
    cloud = distinct(cloud)
    found = search(cloud, k=2, mesh=mesh, progress=progress)
    return _sort_ratios(found.squared, cloud.present)


@jax.jit
def _sort_ratios(squared: Float[Array, "n 2"], distinct: Bool[Array, " n"]) -> _LogRatios:
    nearest, second = squared[:, 0], squared[:, 1]
    # Rows can differ by so little that the square of it is zero in float32.
    valid = distinct & (nearest > 0) & jnp.isfinite(second)
    unit = jnp.sqrt(jnp.where(valid, nearest, 1.0))
    # mu - 1 = (r2 - r1) / r1 without cancellation; a ratio of squares could overflow.
    values = jnp.log1p((second - nearest) / (jnp.sqrt(second) + unit) / unit)
    values = jnp.sort(jnp.where(valid, values, jnp.inf))
    return _LogRatios(values, jnp.sum(valid), jnp.sum(distinct))


@partial(jax.jit, static_argnames="discard")
def _fit(ratios: _LogRatios, discard: float) -> Dimension:
    n, count = len(ratios.values), ratios.used
    rank = jnp.arange(1, n + 1)
    # A table on the host: float32 would round (1 - discard) N across whole numbers.
    kept_of = np.floor((1 - discard) * np.arange(n + 1)).astype(np.int32)
    kept = (rank <= jnp.asarray(kept_of)[count]) & (rank < count)
    x = jnp.where(kept, ratios.values, 0.0)
    y = jnp.where(kept, -jnp.log1p(-rank / jnp.maximum(count, 1)), 0.0)
    value = jnp.sum(x * y) / jnp.sum(x * x)
    # An exponential order statistic is a sum of independent gaps Z_m / (N - m + 1).
    loads = jnp.cumsum(y[::-1])[::-1] / jnp.maximum(count - rank + 1, 1)
    relative_error = jnp.sqrt(jnp.sum(loads**2)) / jnp.sum(y * y)
    return _where_defined(value, relative_error, ratios)


@jax.jit
def _maximum_likelihood(ratios: _LogRatios) -> Dimension:
    total = jnp.sum(jnp.where(jnp.isfinite(ratios.values), ratios.values, 0.0))
    relative_error = 1 / jnp.sqrt(jnp.maximum(ratios.used - 2, 1))
    return _where_defined((ratios.used - 1) / total, relative_error, ratios)


def _where_defined(value: Array, relative_error: Array, ratios: _LogRatios) -> Dimension:
    value = jnp.where((ratios.used >= 3) & jnp.isfinite(value), value, jnp.nan)
    return Dimension(value, value * relative_error, ratios.points)
