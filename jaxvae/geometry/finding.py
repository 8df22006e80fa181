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
        bounds: `[b, c]`, lower bounds on squared distances, ascending: that of any other
            point is at least the last.
        columns: `[b, c]`, which points.
        squared: `[b, c]`, squared distances by differences.
    """

    bounds: Float[EitherArray, "b c"]
    columns: Int[EitherArray, "b c"]
    squared: Float[EitherArray, "b c"]


def propose(space: Space, rows: Int[np.ndarray, " b"], k: int) -> Proposal:
    """Candidates for the k nearest of some rows, by products."""
    return propose_within(space, rows, space.run(distance_bounds, rows).lower, k)


def propose_within(
    space: Space, rows: Int[np.ndarray, " b"], lower: Float[Array, "b m"], k: int
) -> Proposal:
    """Candidates for the k nearest of some rows, given lower bounds on all distances."""
    count = _candidate_count(k, lower.shape[1])
    bounds, columns = space.run_without_coordinates(_candidates, lower, count=count)
    return Proposal(bounds, columns, space.run(pair_block, _beside(rows, count), columns))


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
    squared, columns = _sorted(proposal)
    if in_order:
        columns = in_exact_order(space.points, rows, squared, columns)
    proven = _no_other(_reach(space.points, squared, k), proposal.bounds)
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
    bounds, columns = smallest(lower, _candidate_count(k, lower.shape[1]))
    pairs = pair_block(points, jnp.broadcast_to(rows[:, None], columns.shape), columns)
    squared = jnp.where(_is_present(bounds), pairs, jnp.inf)
    squared, columns = lax.sort((squared, columns), num_keys=2, is_stable=False)
    after = squared[:, 1:]
    touching = (after <= _reach(points, squared[:, :-1])) & (after > 0) & _is_present(after)
    proven = _no_other(_reach(points, squared, k), bounds)

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
) -> tuple[Float[Array, "b c"], Int[Array, "b c"]]:
    del points
    return smallest(lower, count)


def _candidate_count(k: int, columns: int) -> int:
    return min(columns, -(-(k + _SPARE) // CANDIDATES) * CANDIDATES)


def _sorted(
    proposal: Proposal,
) -> tuple[Float[np.ndarray, "b c"], Int[np.ndarray, "b c"]]:
    """Squared distances and columns by distance, ties by lowest column, absent points last."""
    squared = np.where(_is_present(proposal.bounds), proposal.squared, np.float32(np.inf))
    # Floats that are not negative are ordered as their bits are: one sort of one number.
    keys = (squared.view(np.int32).astype(np.int64) << 32) | proposal.columns
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
    squared, columns = _sorted(proposal)
    columns = in_exact_order(points, block, squared, columns)
    proven = _no_other(_reach(points, squared, k), proposal.bounds)
    squared, columns = squared[:, :k], columns[:, :k]
    for at in np.flatnonzero(~proven[: len(rows)]):
        # More points than candidates that float32 cannot tell apart at the k-th place.
        known, bounds = known_values(points), np.asarray(lower)[at]
        (near,) = np.nonzero(bounds <= _reach(points, squared[at], k))
        pairs = pair_distances(known, block[at], known, near)
        distances = Proposal(bounds[None, near], near[None], pairs[None])
        all_squared, all_columns = _sorted(distances)
        all_columns = in_exact_order(points, block[at : at + 1], all_squared, all_columns)
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
    reach: Float[EitherArray, "*b"], bounds: Float[EitherArray, "*b c"]
) -> Bool[EitherArray, "*b"]:
    """Whether all points but the candidates are certainly farther than `reach`."""
    # Every rejected point is at least as far as the last candidate's lower bound.
    last = bounds.max(axis=-1)
    return (reach <= last) | ~_is_present(last)


def _is_present(squared: Float[EitherArray, "*s"]) -> Bool[EitherArray, "*s"]:
    """Whether a squared distance is to a point that is present, and not to itself."""
    return squared < FAR / 2
