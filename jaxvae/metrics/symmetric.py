"""A matrix over all pairs of spaces of which each is computed once."""

from collections.abc import Callable
from itertools import combinations_with_replacement

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.typing import EitherArray


def symmetric_matrix(
    count: int, entry: Callable[[int, int], Float[EitherArray, ""]]
) -> Float[Array, "l l"]:
    """The matrix of `entry(i, j)` for i <= j, and the same for j and i."""
    found = {
        pair: jnp.asarray(entry(*pair)) for pair in combinations_with_replacement(range(count), 2)
    }
    every = [found[min(i, j), max(i, j)] for i in range(count) for j in range(count)]
    return jnp.stack(every).reshape(count, count)
