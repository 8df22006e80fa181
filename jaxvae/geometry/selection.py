"""The few entries of long rows that matter: the smallest, and those of a sparse mask."""

import math
from collections.abc import Callable
from typing import TypeVar

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Int8

# Rows of whole groups are searched fast; padding them here would cost a copy.
GROUP = 16
# Column c of a row is in lane c % (n / LANE): int8 counts the entries of a lane.
LANE = 64
_VISITS = 1024

State = TypeVar("State")


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


def lane_counts(mask: Bool[Array, "*p n"]) -> Int8[Array, "*p lanes"]:
    """How many entries of each lane are set, for n a multiple of `LANE`.

    Sums of int8 over an axis that is not the last run at the speed of memory.
    """
    lanes = mask.reshape(*mask.shape[:-1], LANE, mask.shape[-1] // LANE)
    return jnp.sum(lanes.astype(jnp.int8), axis=-2, dtype=jnp.int8)


def visit(
    counts: Int8[Array, "p lanes"],
    is_set: Callable[[Int[Array, " v"], Int[Array, "v LANE"]], Bool[Array, "v LANE"]],
    action: Callable[[State, Int[Array, " v"], Int[Array, " v"], Bool[Array, " v"]], State],
    state: State,
) -> State:
    """Fold `action` over the set entries of p rows, a fixed number at a time.

    The work is proportional to the entries that are set: each is found from
    the counts, by sums over lanes and over groups of lanes.

    Args:
        counts: set entries of each lane, from `lane_counts`.
        is_set: `(rows, columns)` -> the mask there.
        action: `(state, rows, columns, found)` -> state, where `found` is False
            for the places that the last step has left over.
        state: where the fold starts.
    """
    p, lanes = counts.shape
    group = math.isqrt(lanes - 1) + 1
    grouped = jnp.pad(counts, ((0, 0), (0, -lanes % group))).reshape(p, -1, group)
    totals = jnp.sum(grouped, axis=2, dtype=jnp.int32)
    ends = jnp.cumsum(jnp.sum(totals, axis=1))

    def body(carry: tuple[Int[Array, ""], State]) -> tuple[Int[Array, ""], State]:
        start, state = carry
        place = start + jnp.arange(_VISITS)
        row = jnp.minimum(jnp.searchsorted(ends, place, side="right"), p - 1)
        left = place - jnp.where(row > 0, ends[row - 1], 0)
        at_group, left = _entry(totals[row], left)
        at_lane, left = _entry(grouped[row, at_group], left)
        columns = (at_group * group + at_lane)[:, None] + lanes * jnp.arange(LANE)
        at, _ = _entry(is_set(row, columns), left)
        column = jnp.take_along_axis(columns, at[:, None], axis=1)[:, 0]
        return start + _VISITS, action(state, row, column, place < ends[-1])

    return lax.while_loop(lambda carry: carry[0] < ends[-1], body, (jnp.int32(0), state))[1]


def _entry(
    counts: Int[Array, "v m"], place: Int[Array, " v"]
) -> tuple[Int[Array, " v"], Int[Array, " v"]]:
    """The bin that holds the entry of a given place, and its place within the bin."""
    ends = jnp.cumsum(counts, axis=1, dtype=jnp.int32)
    at = jnp.minimum(jnp.sum(ends <= place[:, None], axis=1), counts.shape[1] - 1)
    before = jnp.take_along_axis(ends - counts, at[:, None], axis=1)[:, 0]
    return at, place - before
