"""The few entries of long rows that matter: the smallest, and those of a sparse mask."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Int8

from jaxvae.geometry.host import numpy_of
from jaxvae.typing import EitherArray

# Rows of whole groups are searched fast; padding them here would cost a copy.
GROUP = 16
# Column c of a row is in lane c % (n / LANE): int8 counts the entries of a lane.
LANE = 64
# Lengths up to this are powers of two: to compile more of them would take longer than they save.
_COARSE = 2048


def filled_length(n: int) -> int:
    """The length to which n points are filled up, one of few, so that another n compiles nothing.

    At most twice n where a search takes milliseconds, at most n / 16 more above.
    """
    if n <= _COARSE:
        return max(LANE, 2 ** (n - 1).bit_length())
    step = min(2 * LANE, 2 ** (n.bit_length() - 5))
    return -(-n // step) * step


def least_of_groups(values: Float[Array, "b n"]) -> Float[Array, "b g"]:
    """The smallest entry of every group of columns; n is a multiple of `GROUP`."""
    return jnp.min(values.reshape(len(values), -1, GROUP), axis=2)


def smallest(
    values: Float[Array, "b n"], groups: Float[Array, "b g"], k: int
) -> tuple[Float[Array, "b k"], Int[Array, "b k"]]:
    """The k smallest entries of every row and their columns; ties by lowest column.

    The k smallest lie in the k groups of columns with the smallest minima, so
    one vectorized minimum over groups leaves little to sort.

    The results are never sliced from a longer `top_k`: on CPU that turns a
    partial selection into a full sort, a hundred times slower.

    Args:
        values: the rows.
        groups: their `least_of_groups`.
        k: how many.
    """
    b, n = values.shape
    if not _pays_to_group(n, k):
        negative, columns = lax.top_k(-values, k)
        return -negative, columns
    _, chosen = lax.top_k(-groups, k)
    chosen = jnp.sort(chosen, axis=1)[:, :, None]  # ascending, so that ties keep their order
    entries = jnp.take_along_axis(values.reshape(b, -1, GROUP), chosen, axis=1)
    entries = entries.reshape(b, k * GROUP)
    columns = (chosen * GROUP + jnp.arange(GROUP, dtype=chosen.dtype)[None, None]).reshape(
        b, k * GROUP
    )
    negative, indices = lax.top_k(-entries, k)
    return -negative, jnp.take_along_axis(columns, indices, axis=1)


def smallest_on_host(
    values: Float[np.ndarray, "b n"], groups: Float[np.ndarray, "b g"], k: int
) -> tuple[Float[np.ndarray, "b k"], Int[np.ndarray, "b k"]]:
    """`smallest` of arrays of NumPy, but by column; nothing is compiled."""
    b, n = values.shape
    if not _pays_to_group(n, k):
        at = _smallest_of_rows(values, k)
        return values.take(at), (at % n).astype(np.int32)
    chosen = _smallest_of_rows(groups, k)
    entries = values.reshape(-1, GROUP).take(chosen, axis=0).reshape(b, k * GROUP)
    among = _smallest_of_rows(entries, k)
    columns = (chosen.take(among // GROUP) * GROUP + among % GROUP) % n
    return entries.take(among), columns.astype(np.int32)


def _pays_to_group(n: int, k: int) -> bool:
    return n >= 4 * k * GROUP


def _smallest_of_rows(values: Float[np.ndarray, "b n"], k: int) -> Int[np.ndarray, "b k"]:
    """Where the k smallest entries of every row are in all values, ascending; ties by first."""
    limit = np.partition(values, k - 1, axis=1)[:, k - 1, None]
    chosen = values <= limit
    at = np.flatnonzero(chosen)
    if len(at) > k * len(values):  # entries beyond the k-th equal it
        (many,) = np.nonzero(np.count_nonzero(chosen, axis=1) > k)
        below, equal = values[many] < limit[many], values[many] == limit[many]
        room = k - np.count_nonzero(below, axis=1)[:, None]
        chosen[many] = below | (equal & (np.cumsum(equal, axis=1) <= room))
        at = np.flatnonzero(chosen)
    return at.reshape(-1, k)


def lane_counts(mask: Bool[Array, "*p n"]) -> Int8[Array, "*p lanes"]:
    """The number of entries of each lane that are set, for n a multiple of `LANE`.

    Sums of int8 over an axis that is not the last run at the speed of memory.
    """
    lanes = mask.reshape(*mask.shape[:-1], LANE, mask.shape[-1] // LANE)
    return jnp.sum(lanes.astype(jnp.int8), axis=-2, dtype=jnp.int8)


def lane_columns(lane: Int[EitherArray, " v"], lanes: int) -> Int[EitherArray, "v LANE"]:
    """The columns that `lane_counts` counted in each lane."""
    return lane[:, None] + (lanes * numpy_of(lane).arange(LANE, dtype=lane.dtype))[None]
