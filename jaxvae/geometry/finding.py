"""The nearest points: proposed by products, settled by differences where these leave doubt.

What is compiled for every cloud bounds the distances of a block of rows. Candidates are the
points with the smallest bounds, chosen where the bounds are: by NumPy in the memory of the host,
else by a program. Which rows their float32 distances prove is decided on the host. The others,
none in an ordinary cloud, are proposed again by differences, by a program that is compiled when
the first such row comes; and what float32 differences cannot order is ordered by `precise`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxvae.geometry.comparing import in_exact_order
from jaxvae.geometry.distances import (
    FAR,
    Bounds,
    difference_bounds,
    distance_bounds,
    pair_distances,
    rounding,
)
from jaxvae.geometry.points import Points, known_values
from jaxvae.geometry.precise import Expansion, less, precise_row
from jaxvae.geometry.rows import Space, on_host, with_redone
from jaxvae.geometry.selection import smallest, smallest_on_host
from jaxvae.typing import EitherArray

# Candidates come in multiples of this, with at least so many to spare: an ordinary row is then
# proven without a second look.
_CANDIDATES = 8
_SPARE = 6
# Coordinates that may be held at once; a loop over candidates takes longer to compile.
_ENTRIES = 2**24
# With at most so many features, the host takes no longer for differences of pairs than a program.
_HOST_FEATURES = 64
# Coordinates of pairs that stay in the cache, of the host and of a program.
_HOST_ENTRIES, _PROGRAM_ENTRIES = 2**16, 2**19
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


def propose(space: Space, rows: Int[np.ndarray, " b"], k: int) -> Callable[[], Proposal]:
    """Candidates for the k nearest of some rows, by products, as `propose_within` gives them."""
    return propose_within(space, rows, space.run(distance_bounds, rows), k)


def propose_within(
    space: Space, rows: Int[np.ndarray, " b"], bounds: Bounds, k: int
) -> Callable[[], Proposal]:
    """Candidates for the k nearest of some rows, given bounds on all distances.

    They are on the host, and come as a function to call for them: until then the device is
    at work.
    """
    count = _candidate_count(k, bounds.lower.shape[1])
    if space.choices.settles_on_device:
        proposal = space.run(_nearest_candidates, rows, bounds, count=count)
        return lambda: on_host(proposal, space)

    def finish() -> Proposal:
        if bounds.lower.is_fully_addressable:
            lower, groups = on_host((bounds.lower, bounds.groups), space)
            least, columns = smallest_on_host(lower, groups, count)
        else:
            # Other processes have the other rows, and bounds are too many to be sent.
            found = space.run_without_coordinates(_candidates, bounds, count=count)
            least, columns = on_host(found, space)
        if space.points.on_grid:
            squared = least  # products are exact
        else:
            pairs = np.repeat(rows, count), columns.ravel()
            squared = distances_of_pairs(space, *pairs).reshape(columns.shape)
        is_other = space.points.present[columns] & (columns != rows[:, None])
        return Proposal(np.where(is_other, squared, np.inf), columns, least.max(axis=1))

    return finish


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
        squared[some], columns[some] = _by_differences(
            space.alone(), rows[some], k, in_order=in_order
        )
    return squared, columns


def find_in(
    space: Space, rows: Int[np.ndarray, " r"], *, k: int, length: int, in_order: bool = True
) -> tuple[Float[np.ndarray, "r k"], Int[np.ndarray, "r k"]]:
    """`settle` of any rows, in blocks of one length."""
    neighbors = []
    for start in range(0, len(rows), length):
        block = np.resize(rows[start : start + length], length)
        proposal = propose(space, block, k)()
        neighbors.append(settle(space, block, proposal, k, in_order=in_order))
    squared, columns = (
        np.concatenate(parts)[: len(rows)] for parts in zip(*neighbors, strict=True)
    )
    return squared, columns


def find_traced(
    points: Points, rows: Int[Array, " b"], *, k: int
) -> tuple[Float[Array, "b k"], Int[Array, "b k"]]:
    """`settle` of some rows while a function is traced, those in doubt one after the other."""
    bounds = distance_bounds(points, rows)
    count = _candidate_count(k, bounds.lower.shape[1])
    squared, columns, least = _nearest_candidates(points, rows, bounds, count=count)
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


def distances_of_pairs(
    space: Space, rows: Int[np.ndarray, " p"], columns: Int[np.ndarray, " p"]
) -> Float[np.ndarray, " p"]:
    """Squared distances of pairs by differences; their bits do not depend on how many there are.

    Args:
        space: the cloud.
        rows: first point of every pair.
        columns: second point.
    """
    pieces, features = [np.zeros(0, np.float32)], space.points.values.shape[1]
    if features <= _HOST_FEATURES:
        points, at_once = known_values(space.points), _HOST_ENTRIES // features
        for start in range(0, len(rows), at_once):
            some = [pair[start : start + at_once] for pair in (rows, columns)]
            pieces.append(pair_distances(points, some[0], points, some[1]))
        return np.concatenate(pieces)
    devices = 1 if space.mesh is None else space.mesh.size
    at_once = devices * max(1, _PROGRAM_ENTRIES // features)
    begun = []
    for start in range(0, len(rows), at_once):
        some = [pair[start : start + at_once] for pair in (rows, columns)]
        filled = [np.resize(pair, (at_once, 1)).astype(np.int32) for pair in some]
        begun.append(space.run(pair_block, *filled))
    pieces += [on_host(piece, space).ravel() for piece in begun]
    return np.concatenate(pieces)[: len(rows)]


def pair_block(
    points: Points, rows: Int[Array, "b w"], columns: Int[Array, "b w"]
) -> Float[Array, "b w"]:
    """Squared distances of rows to columns by differences, as part of a program."""
    if rows.size * points.values.shape[1] <= _ENTRIES:
        return pair_distances(points, rows, points, columns)
    return lax.map(lambda at: pair_distances(points, at[0], points, at[1]), (rows.T, columns.T)).T


def _candidates(
    points: Points, bounds: Bounds, *, count: int
) -> tuple[Float[Array, "b c"], Int[Array, "b c"]]:
    del points
    return smallest(bounds.lower, bounds.groups, count)


def _nearest_candidates(
    points: Points, rows: Int[Array, " b"], bounds: Bounds, *, count: int
) -> Proposal:
    """The candidates of some rows, by distance, ties by lowest column."""
    least, columns = smallest(bounds.lower, bounds.groups, count)
    own = jnp.broadcast_to(rows[:, None], columns.shape)
    is_other = points.present[columns] & (columns != own)
    squared = jnp.where(is_other, pair_block(points, own, columns), jnp.inf)
    squared, columns = lax.sort((squared, columns), num_keys=2, is_stable=False)
    return Proposal(squared, columns, jnp.max(least, axis=1))


def _candidate_count(k: int, columns: int) -> int:
    return min(columns, -(-(k + _SPARE) // _CANDIDATES) * _CANDIDATES)


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
    space: Space, rows: Int[np.ndarray, " r"], k: int, *, in_order: bool
) -> tuple[Float[np.ndarray, "r k"], Int[np.ndarray, "r k"]]:
    """`settle` of up to `DOUBTFUL` rows without products."""
    points, block = space.points, np.resize(rows, DOUBTFUL)
    narrow = space.run(difference_bounds, block)
    proposal = propose_within(space, block, narrow, k)()
    squared, columns = _sorted(proposal.squared, proposal.columns)
    if in_order:
        columns = in_exact_order(points, block, squared, columns, k)
    proven = _no_other(_reach(points, squared, k), proposal.least)
    squared, columns = squared[:, :k], columns[:, :k]
    for at in np.flatnonzero(~proven[: len(rows)]):
        # More points than candidates that float32 cannot tell apart at the k-th place.
        known, bounds = known_values(points), np.asarray(narrow.lower)[at]
        (near,) = np.nonzero(bounds <= _reach(points, squared[at], k))
        pairs = pair_distances(known, block[at], known, near)
        all_squared, all_columns = _sorted(pairs[None], near[None])
        if in_order:
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
