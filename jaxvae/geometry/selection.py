"""The few entries of long rows that matter: the smallest, and those of a sparse mask."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Int8

# Rows of whole groups are searched fast; padding them here would cost a copy.
GROUP = 16
# Column c of a row is in lane c % (n / LANE): int8 counts the entries of a lane.
LANE = 64
# Up to here lengths are powers of two: compilation would take longer than what it saves.
_COARSE = 2048


def filled_length(n: int) -> int:
    """The length to which n points are filled up, one of few, so that another n compiles nothing.

    At most twice n where a search takes milliseconds, at most n / 16 more above.
    """
    if n <= _COARSE:
        return max(LANE, 2 ** (n - 1).bit_length())
    step = min(2 * LANE, 2 ** (n.bit_length() - 5))
    return -(-n // step) * step


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
    columns = (chosen * GROUP + jnp.arange(GROUP, dtype=chosen.dtype)[None, None]).reshape(
        b, k * GROUP
    )
    negative, indices = lax.top_k(-entries, k)
    return -negative, jnp.take_along_axis(columns, indices, axis=1)


def lane_counts(mask: Bool[Array, "*p n"]) -> Int8[Array, "*p lanes"]:
    """The number of entries of each lane that are set, for n a multiple of `LANE`.

    Sums of int8 over an axis that is not the last run at the speed of memory.
    """
    lanes = mask.reshape(*mask.shape[:-1], LANE, mask.shape[-1] // LANE)
    return jnp.sum(lanes.astype(jnp.int8), axis=-2, dtype=jnp.int8)


def lane_columns(lane: Int[Array, " v"], lanes: int) -> Int[Array, "v LANE"]:
    """The columns that `lane_counts` counted in each lane."""
    return lane[:, None] + (lanes * jnp.arange(LANE, dtype=lane.dtype))[None]
