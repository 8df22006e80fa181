"""The few smallest entries of long rows, at the speed of a minimum."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

# Rows of whole groups are searched fast; padding them here would cost a copy.
GROUP = 16


def smallest(values: Float[Array, "b n"], k: int) -> tuple[Float[Array, "b k"], Int[Array, "b k"]]:
    """The k smallest entries of every row and their columns; ties by lowest column.

    The k smallest lie in the k groups of columns with the smallest minima, so
    one vectorized minimum over groups leaves little to sort.

    The results are never sliced from a longer `top_k`: on CPU that turns a
    partial selection into a full sort, a hundred times slower.
    """
    b, n = values.shape
    if n % GROUP or n < 4 * k * GROUP:
        negative, columns = lax.top_k(-values, k)
        return -negative, columns
    groups = values.reshape(b, n // GROUP, GROUP)
    _, chosen = lax.top_k(-jnp.min(groups, axis=2), k)
    chosen = jnp.sort(chosen, axis=1)[:, :, None]  # ascending, so that ties keep their order
    entries = jnp.take_along_axis(groups, chosen, axis=1).reshape(b, k * GROUP)
    columns = (chosen * GROUP + jnp.arange(GROUP, dtype=chosen.dtype)).reshape(b, k * GROUP)
    negative, places = lax.top_k(-entries, k)
    return -negative, jnp.take_along_axis(columns, places, axis=1)
