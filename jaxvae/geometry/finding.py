"""The nearest points: proposed by products, settled by differences where these leave doubt.

What is compiled for every cloud proposes candidates with their float32 distances. Which rows
it proves is decided on the host. The others, none in an ordinary cloud, are proposed again by
differences, by a program that is compiled when the first such row comes; and what float32
differences cannot order is ordered by `precise`.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxvae.geometry.comparing import in_exact_order
from jaxvae.geometry.distances import (
    FAR,
    difference_bounds,
    distance_bounds,
    pair_distances,
    rounding,
)
from jaxvae.geometry.points import Points, known_values
from jaxvae.geometry.precise import Expansion, less, precise_row
from jaxvae.geometry.rows import Space, on_host, with_redone
from jaxvae.geometry.selection import smallest
from jaxvae.typing import EitherArray

# Candidates come in multiples of this, with at least so many to spare: an ordinary row is then
# proven without a second look.
CANDIDATES = 8
_SPARE = 6
# Coordinates that may be held at once; a loop over candidates takes longer to compile.
_ENTRIES = 2**24
# Rows that are searched by differences at a time.
DOUBTFUL = 16


class Proposal(NamedTuple):
    """The candidates of some rows, c each.

    Attributes:
        squared: `[b, c]`, squared distances by differences, infinite to absent points.
        columns: `[b, c]`, which points.
        least: `[b]`, a lower bound on the squared distances to all other points.
    """

    squared: Float[EitherArray, "b c"]
    columns: Int[EitherArray, "b c"]
    least: Float[EitherArray, " b"]


def propose(space: Space, rows: Int[np.ndarray, " b"], k: int) -> Proposal:
    """Candidates for the k nearest of some rows, by products."""
    return propose_within(space, rows, space.run(distance_bounds, rows).lower, k)


def propose_within(
    space: Space, rows: Int[np.ndarray, " b"], lower: Float[Array, "b m"], k: int
) -> Proposal:
    """Candidates for the k nearest of some rows, given lower bounds on all distances."""
    count = _candidate_count(k, lower.shape[1])
    if space.choices.settles_on_device:
        return space.run(_nearest_candidates, rows, lower, count=count)
    columns, least = space.run_without_coordinates(_candidates, lower, count=count)
    return Proposal(space.run(_distances, _beside(rows, count), columns), columns, least)


def settle(
    space: Space, rows: Int[np.ndarray, " r"], proposal: Proposal, k: int, *, in_order: bool = True
) -> tuple[Float[np.ndarray, "r k"], Int[np.ndarray, "r k"]]:
    """Squared distances and indices of the k present points that are nearest to each row.

    Args:
        space: the cloud.
        rows: which points.
        proposal: their candidates, on the host.
        k: how many.
        in_order: whether the indices are to be as exact as the distances; else points may
            change places whose distances float32 cannot tell apart.
    """
    if space.choices.settles_on_device:
        squared, columns = np.array(proposal.squared), np.array(proposal.columns)
    else:
        squared, columns = _sorted(proposal.squared, proposal.columns)
    if in_order:
        columns = in_exact_order(space.points, rows, squared, columns, k)
    proven = _no_other(_reach(space.points, squared, k), proposal.least)
    squared, columns = squared[:, :k], columns[:, :k]
    (doubtful,) = np.nonzero(~proven)
    for start in range(0, len(doubtful), DOUBTFUL):
        some = doubtful[start : start + DOUBTFUL]
        squared[some], columns[some] = _by_differences(space.alone(), rows[some], k)
    return squared, columns


def find_in(
    space: Space, rows: Int[np.ndarray, " r"], *, k: int, length: int, in_order: bool = True
) -> tuple[Float[np.ndarray, "r k"], Int[np.ndarray, "r k"]]:
    """`settle` of any rows, in blocks of one length."""
    neighbors = []
    for start in range(0, len(rows), length):
        block = np.resize(rows[start : start + length], length)
        proposal = on_host(propose(space, block, k), space)
        neighbors.append(settle(space, block, proposal, k, in_order=in_order))
    squared, columns = (
        np.concatenate(parts)[: len(rows)] for parts in zip(*neighbors, strict=True)
    )
    return squared, columns


def find_traced(
    points: Points, rows: Int[Array, " b"], *, k: int
) -> tuple[Float[Array, "b k"], Int[Array, "b k"]]:
    """`settle` of some rows while a function is traced, those in doubt one after the other."""
    lower = distance_bounds(points, rows).lower
    count = _candidate_count(k, lower.shape[1])
    squared, columns, least = _nearest_candidates(points, rows, lower, count=count)
    # What touches beyond the k-th and the next does not matter.
    before, after = squared[:, :k], squared[:, 1 : k + 1]
    touching = (after <= _reach(points, before)) & (after > 0) & _is_present(after)
    proven = _no_other(_reach(points, squared, k), least)

    doubtful = ~proven | jnp.any(touching & ~points.on_grid, axis=1)
    return with_redone(
        doubtful,
        (squared[:, :k], columns[:, :k]),
        lambda at: _find_precisely(points, rows[at], k),
    )


def pair_block(
    points: Points, rows: Int[Array, "b w"], columns: Int[Array, "b w"]
) -> Float[Array, "b w"]:
    """Squared distances of rows to columns by differences."""
    if rows.size * points.values.shape[1] <= _ENTRIES:
        return pair_distances(points, rows, points, columns)
    return lax.map(lambda at: pair_distances(points, at[0], points, at[1]), (rows.T, columns.T)).T


def _beside(rows: Int[np.ndarray, " b"], count: int) -> Int[np.ndarray, "b count"]:
    """Every row once for each of its candidates."""
    return np.broadcast_to(rows[:, None], (len(rows), count))


def _candidates(
    points: Points, lower: Float[Array, "b m"], *, count: int
) -> tuple[Int[Array, "b c"], Float[Array, " b"]]:
    """Columns with the smallest bounds, and the largest of these: no other is below it."""
    del points
    bounds, columns = smallest(lower, count)
    return columns, jnp.max(bounds, axis=1)


def _distances(
    points: Points, rows: Int[Array, "b c"], columns: Int[Array, "b c"]
) -> Float[Array, "b c"]:
    is_other = points.present[columns] & (columns != rows)
    return jnp.where(is_other, pair_block(points, rows, columns), jnp.inf)


def _nearest_candidates(
    points: Points, rows: Int[Array, " b"], lower: Float[Array, "b m"], *, count: int
) -> Proposal:
    """The candidates of some rows, by distance, ties by lowest column."""
    columns, least = _candidates(points, lower, count=count)
    squared = _distances(points, jnp.broadcast_to(rows[:, None], columns.shape), columns)
    squared, columns = lax.sort((squared, columns), num_keys=2, is_stable=False)
    return Proposal(squared, columns, least)


def _candidate_count(k: int, columns: int) -> int:
    return min(columns, -(-(k + _SPARE) // CANDIDATES) * CANDIDATES)


def _sorted(
    squared: Float[np.ndarray, "b c"], columns: Int[np.ndarray, "b c"]
) -> tuple[Float[np.ndarray, "b c"], Int[np.ndarray, "b c"]]:
    """Squared distances and columns by distance, ties by lowest column."""
    # Floats that are not negative are ordered as their bits are: one sort of one number.
    keys = (squared.view(np.int32).astype(np.int64) << 32) | columns
    keys.sort(axis=1)
    columns = (keys & 0xFFFFFFFF).astype(np.int32)
    return (keys >> 32).astype(np.int32).view(np.float32), columns


def _by_differences(
    space: Space, rows: Int[np.ndarray, " r"], k: int
) -> tuple[Float[np.ndarray, "r k"], Int[np.ndarray, "r k"]]:
    """`settle` of up to `DOUBTFUL` rows without products."""
    points, block = space.points, np.resize(rows, DOUBTFUL)
    lower = space.run(difference_bounds, block).lower
    proposal = on_host(propose_within(space, block, lower, k), space)
    squared, columns = _sorted(proposal.squared, proposal.columns)
    columns = in_exact_order(points, block, squared, columns, k)
    proven = _no_other(_reach(points, squared, k), proposal.least)
    squared, columns = squared[:, :k], columns[:, :k]
    for at in np.flatnonzero(~proven[: len(rows)]):
        # More points than candidates that float32 cannot tell apart at the k-th place.
        known, bounds = known_values(points), np.asarray(lower)[at]
        (near,) = np.nonzero(bounds <= _reach(points, squared[at], k))
        pairs = pair_distances(known, block[at], known, near)
        all_squared, all_columns = _sorted(pairs[None], near[None])
        all_columns = in_exact_order(points, block[at : at + 1], all_squared, all_columns, k)
        squared[at], columns[at] = all_squared[0, :k], all_columns[0, :k]
    return squared[: len(rows)], columns[: len(rows)]


def _find_precisely(
    points: Points, row: Int[Array, ""], k: int
) -> tuple[Float[Array, " k"], Int[Array, " k"]]:
    """`settle` of one row without products, while a function is traced.

    The smallest distance is taken k times, of those that float64 cannot tell apart the one of
    the lowest column: a sort of the whole row takes an accelerator's compiler far longer.
    """
    columns = jnp.arange(len(points.norms), dtype=jnp.int32)
    exact = precise_row(points, row)
    others = points.present & (columns != row)

    def take(
        left: Bool[Array, " m"], _: None
    ) -> tuple[Bool[Array, " m"], tuple[Float[Array, ""], Int[Array, ""]]]:
        tied, smallest_parts = left, []
        for part in exact:
            smallest_parts.append(jnp.min(jnp.where(tied, part, jnp.inf)))
            tied &= part == smallest_parts[-1]
        at = jnp.argmax(left & ~less(Expansion(*smallest_parts), exact))
        none = ~jnp.any(left)
        return left.at[at].set(False), (jnp.where(none, jnp.inf, exact.first[at]), columns[at])

    return lax.scan(take, others, length=k)[1]


def _reach(
    points: Points, squared: Float[EitherArray, "*b c"], k: int | None = None
) -> Float[EitherArray, "*b"]:
    """What a squared distance is below, if float32 gives it as the k-th, or as each."""
    kth = squared if k is None else squared[..., k - 1]
    return kth * (1 + 2 * rounding(points))


def _no_other(
    reach: Float[EitherArray, "*b"], least: Float[EitherArray, "*b"]
) -> Bool[EitherArray, "*b"]:
    """Whether all points but the candidates are certainly farther than `reach`."""
    return (reach <= least) | ~_is_present(least)


def _is_present(squared: Float[EitherArray, "*s"]) -> Bool[EitherArray, "*s"]:
    """Whether a squared distance is to a point that is present, and not to itself."""
    return squared < FAR / 2
