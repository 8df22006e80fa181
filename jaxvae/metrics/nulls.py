"""What any metric gives where there is nothing to find.

A metric is any function `f(*arrays)` of arrays whose rows are the same points; it
returns a scalar, or a tree of arrays such as `Dimension` or a matrix over layers,
and every statistic here is taken leaf by leaf.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxvae.geometry.points import same_length
from jaxvae.metrics.resample import Metric, mean_over, rows_of, spread_over, stacked
from jaxvae.typing import Array, ArrayLike, Key

# Rows of a Gaussian cloud made at a time: memory grows as this times n, never as n * n.
_BLOCK = 1024


class Null(NamedTuple):
    """A metric on data made to hold nothing; every field has the form of its result.

    Attributes:
        mean: over the draws.
        spread: standard deviation of one draw: how far from `mean` a metric of
            such data falls by chance.
        values: `[draws, ...]`.
    """

    mean: Any
    spread: Any
    values: Any


def unrelated_null(key: Key, metric: Metric, *arrays: ArrayLike, draws: int = 20) -> Null:
    """A metric between representations that have nothing to do with each other.

    The rows of every array but the first are permuted, each array by its own
    permutation: every array keeps its cloud, and no row matches another. It is
    what imbalance, overlap, CKA, Procrustes and CCA give by chance: 1 for
    imbalance, about `p / (p + n - 1)` for linear CKA of white data in p
    dimensions.

    Args:
        key: of the permutations.
        metric: `f(*arrays)`, such as a matrix over layers.
        *arrays: two or more, each `[n, ...]`; labels `[n]` are such an array.
        draws: at least 2.

    Returns:
        `Null`.

    Raises:
        ValueError: for fewer than two arrays, fewer than 2 draws, different n,
            and what the metric refuses.
    """
    if len(arrays) < 2:
        raise ValueError(f"expected at least two arrays to be unrelated, got {len(arrays)}")
    n = same_length(*arrays)

    def draw(draw_key: Key) -> Any:
        keys = jax.random.split(draw_key, len(arrays) - 1)
        shuffled = [
            rows_of(array, jax.random.permutation(one, n))
            for one, array in zip(keys, arrays[1:], strict=True)
        ]
        return metric(arrays[0], *shuffled)

    return _null(key, draw, draws)


def gaussian_null(key: Key, metric: Metric, *arrays: ArrayLike, draws: int = 20) -> Null:
    """A metric on Gaussian clouds with the shape, mean and covariance of the data.

    What a metric owes to n, the width and the linear structure alone. For the
    intrinsic dimension it holds the finite-sample bias, which grows with the
    dimension; data on a curved or clustered set have a lower dimension than
    their null, and pure noise has that of its null. Arrays are drawn
    independently of each other.

    A row is the mean plus a random combination of the centered rows of the data,
    `sum_i g_i (x_i - mean) / sqrt(n - 1)`, with standard normal g.

    Args:
        key: of the clouds.
        metric: `f(*arrays)`; it gets float32 arrays of the shapes given.
        *arrays: each `[n, ...]`, any real type.
        draws: at least 2.

    Returns:
        `Null`.

    Raises:
        ValueError: for no arrays, fewer than 2 draws or 2 points, different n,
            and what the metric refuses.
    """
    if len(arrays) == 0 or same_length(*arrays) < 2:
        raise ValueError("expected at least one array and two points")

    def draw(draw_key: Key) -> Any:
        keys = jax.random.split(draw_key, len(arrays))
        return metric(*(_gaussian_like(*pair) for pair in zip(keys, arrays, strict=True)))

    return _null(key, draw, draws)


def _null(key: Key, draw: Callable[[Key], Any], draws: int) -> Null:
    if draws < 2:
        raise ValueError(f"expected at least 2 draws, got {draws}")
    values = stacked([draw(one) for one in jax.random.split(key, draws)])
    return Null(mean_over(values), spread_over(values), values)


def _gaussian_like(key: Key, array: ArrayLike) -> Float[Array, "n ..."]:
    if isinstance(array, np.ndarray):
        # In float64, or a large offset would take the digits of the spread.
        center = array.mean(axis=0, dtype=np.float64)
        centered = jnp.asarray(array - center, jnp.float32)
    else:
        values = jnp.asarray(array, jnp.float32)
        center = values.mean(axis=0)
        centered = values - center
    flat = centered.reshape(len(centered), -1)
    return _combine_rows(key, flat).reshape(centered.shape) + jnp.asarray(center, jnp.float32)


@jax.jit
def _combine_rows(key: Key, centered: Float[Array, "n d"]) -> Float[Array, "n d"]:
    n, features = centered.shape
    blocks = -(-n // _BLOCK)

    def block(block_key: Key) -> Float[Array, "b d"]:
        weights = jax.random.normal(block_key, (min(n, _BLOCK), n)) / (n - 1) ** 0.5
        # Rounding to fewer digits would add dimensions of its own.
        return jnp.matmul(weights, centered, precision=jax.lax.Precision.HIGHEST)

    return jax.lax.map(block, jax.random.split(key, blocks)).reshape(-1, features)[:n]
