"""Information imbalance: how well one space predicts the neighbors of another."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvae.geometry.neighbors import search
from jaxvae.geometry.points import Points, as_points, same_length
from jaxvae.geometry.ranks import count_ranks
from jaxvae.typing import ArrayLike


class Imbalance(NamedTuple):
    """Information imbalance between two spaces, in both directions.

    Attributes:
        forward: `[]`, Delta(a -> b): near 0 if neighbors in a are neighbors in
            b, near 1 if they say nothing about b.
        backward: `[]`, Delta(b -> a).
    """

    forward: Float[Array, ""]
    backward: Float[Array, ""]


def information_imbalance(a: ArrayLike, b: ArrayLike, *, k: int = 1) -> Imbalance:
    """Information imbalance Delta between two representations of the same points.

    `Delta(a -> b) = 2 / n * <rank in b of the first k neighbors in a>`, the mean
    being over points and neighbors.

    Args:
        a: `[n, ...]`, trailing axes are flattened.
        b: `[n, ...]`, the same points in another space.
        k: neighbors averaged over, 1 to n - 1.

    Returns:
        `Imbalance(forward, backward)`. Identical spaces give `(k + 1) / n`,
        unrelated ones 1 with a spread of about `0.58 / sqrt(n)` at k = 1. Ties
        take the mean rank: against a constant space Delta is 1. Repeated rows
        are kept. Unchanged by scale, shift and rotation of either space.

    Raises:
        ValueError: for different n, k outside 1 to n - 1, NaN or infinite input.

    Reference: Glielmo, Zeni, Cheng, Csanyi and Laio (2022).
    """
    matrix = imbalance_matrix([a, b], k=k)
    return Imbalance(matrix[0, 1], matrix[1, 0])


def imbalance_matrix(spaces: Sequence[ArrayLike], *, k: int = 1) -> Float[Array, "l l"]:
    """Information imbalance between all pairs of representations of the same points.

    Args:
        spaces: l arrays `[n, ...]`, of any widths.
        k: neighbors averaged over, 1 to n - 1.

    Returns:
        `[l, l]`, entry `[i, j]` is Delta(space i -> space j); the diagonal is
        `(k + 1) / n` where there are no ties. See `information_imbalance`.

    Raises:
        ValueError: for no spaces, different n, k outside 1 to n - 1, NaN or
            infinite input.

    Reference: Glielmo, Zeni, Cheng, Csanyi and Laio (2022).
    """
    if len(spaces) == 0:
        raise ValueError("expected at least one space, got none")
    clouds = [as_points(space)[0] for space in spaces]
    n = same_length(*(cloud.norms for cloud in clouds))
    if not 1 <= k < n:
        raise ValueError(f"expected 1 <= k < n = {n}, got k = {k}")
    present = jnp.ones(n, bool)
    # One row block of a space serves the neighbors found in every space.
    neighbors = jnp.concatenate([search(cloud, present, k=k)[1] for cloud in clouds], axis=1)
    return jnp.stack([_mean_ranks(cloud, neighbors, k) for cloud in clouds], axis=1) * (2 / n)


def _mean_ranks(cloud: Points, neighbors: Int[Array, "n lk"], k: int) -> Float[Array, " l"]:
    ranks = count_ranks(cloud, neighbors)
    return ranks.reshape(len(ranks), -1, k).mean(axis=(0, 2))
