"""Mid-ranks by counting: one pass over a block of distances, then the comparisons left open.

What is compiled counts, for every target, the points that the bounds prove to be closer, and
in which columns the others are that may be. These few are compared one by one: by float32
differences, and beyond on the host.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Int8

from jaxvae.geometry.comparing import closer as closer_on_host
from jaxvae.geometry.distances import (
    Bounds,
    difference_bounds,
    distance_bounds,
    pair_distances,
    rounding,
    upper_bounds,
)
from jaxvae.geometry.finding import CANDIDATES, DOUBTFUL, pair_block
from jaxvae.geometry.host import known_now
from jaxvae.geometry.points import Points, first_alike, known_values
from jaxvae.geometry.precise import comparisons, precise_row
from jaxvae.geometry.rows import Space, on_host, with_redone, without_coordinates
from jaxvae.geometry.selection import LANE, lane_columns, lane_counts
from jaxvae.typing import EitherArray

# Targets of a row that share one pass over its distances.
_TARGETS = 16
# Lanes in which open comparisons are looked up at a time: of an ordinary block, and of one
# that leaves many open.
_FEW_LANES, _MANY_LANES = 256, 2048
# The same while a function is traced.
_TRACED_LANES = 32
# Coordinates of so few pairs are subtracted on the host.
_FEW_ENTRIES = 2**14
# A row with a larger share of open comparisons is taken by differences.
_HEAVY_SHARE = 1 / 16


class _Targets(NamedTuple):
    """The points whose ranks are wanted, a few for each row.

    Attributes:
        indices: `[b, t]`.
        near: `[b, t]`, squared distances below this are smaller than the target's.
        far: `[b, t]`, and above this larger.
    """

    indices: Int[EitherArray, "b t"]
    near: Float[EitherArray, "b t"]
    far: Float[EitherArray, "b t"]


def count(
    space: Space, rows: Int[np.ndarray, " b"], targets: Int[np.ndarray, "b k"]
) -> Float[np.ndarray, "b k"]:
    """Mid-ranks of the targets of each row among the present points."""
    return count_within(space, rows, space.run(distance_bounds, rows), targets)


def count_within(
    space: Space,
    rows: Int[np.ndarray, " b"],
    bounds: Bounds,
    targets: Int[np.ndarray, "b k"],
) -> Float[np.ndarray, "b k"]:
    """1 + closer + (equally far) / 2 for the targets of each row, given its distances."""
    k = targets.shape[1]
    if k <= _TARGETS:
        return _ranks(space, rows, bounds, targets)
    padded = np.pad(targets, ((0, 0), (0, -k % _TARGETS)), mode="edge")
    groups = np.split(padded, padded.shape[1] // _TARGETS, axis=1)
    return np.concatenate([_ranks(space, rows, bounds, g) for g in groups], axis=1)[:, :k]


def count_traced(
    points: Points, rows: Int[Array, " b"], targets: Int[Array, "b k"]
) -> Float[Array, "b k"]:
    """`count` of some rows while a function is traced, all that is open settled on the device."""
    bounds, margin = distance_bounds(points, rows), 2 * rounding(points)
    away = pair_block(points, jnp.broadcast_to(rows[:, None], targets.shape), targets)
    # Stored, so that all that compare with them see the same bits.
    reach = lax.optimization_barrier((away * (1 - margin), away * (1 + margin)))
    limits = _Targets(targets, *reach)
    closer, open_ = _tally(points, rows, bounds, limits)
    row, target = jnp.indices(targets.shape)
    own = points.present[targets].astype(open_.dtype)
    open_ = open_.at[row, target, targets % open_.shape[2]].add(-own)
    tied = jnp.where(points.on_grid, jnp.sum(open_, axis=2, dtype=jnp.int32), 0)

    def look_up(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        left, doubled, unsure = carry
        places = jnp.nonzero(left, size=_TRACED_LANES, fill_value=len(rows))
        present = (places[0] < len(rows))[:, None]
        lanes = _Lanes(
            *(jnp.minimum(at, most - 1) for at, most in zip(places, left.shape, strict=True))
        )
        columns = lane_columns(lanes.lane, left.shape[2])
        one, near, far = (part[lanes.row, lanes.target][:, None] for part in limits)
        is_open = _open_columns(without_coordinates(points), rows, bounds, limits, lanes)
        is_open &= present & (columns != one)
        beside = jnp.broadcast_to(rows[lanes.row][:, None], columns.shape)
        away = pair_block(points, beside, columns)
        doubled = doubled.at[lanes.row, lanes.target].add(
            2 * jnp.sum(is_open & (away < near), axis=1, dtype=jnp.int32)
        )
        undecided = jnp.any(is_open & (away >= near) & (away <= far), axis=1)
        unsure = unsure.at[lanes.row].max(undecided)
        return left.at[places].set(False, mode="drop"), doubled, unsure

    start = (open_ > 0) & ~points.on_grid, 2 * closer + tied, jnp.zeros(len(rows), bool)
    _, doubled, unsure = lax.while_loop(lambda carry: jnp.any(carry[0]), look_up, start)
    doubled = with_redone(
        unsure, doubled, lambda at: _doubled_precisely(points, rows[at], targets[at])
    )
    return 1 + doubled / 2


def _ranks(
    space: Space, rows: Int[np.ndarray, " b"], bounds: Bounds, indices: Int[np.ndarray, "b t"]
) -> Float[np.ndarray, "b t"]:
    away = _distances(space, np.repeat(rows, indices.shape[1]), indices.ravel(), len(rows))
    margin, away = 2 * rounding(space.points), away.reshape(indices.shape)
    near, far = ((away * factor).astype(np.float32) for factor in (1 - margin, 1 + margin))
    targets = _Targets(indices, near, far)
    tally = space.run_without_coordinates(_tally, rows, bounds, targets)
    closer, open_ = map(np.array, on_host(tally, space))
    # A target that is present is open itself, and does not count.
    row, target = np.indices(indices.shape)
    open_[row, target, indices % open_.shape[2]] -= np.asarray(space.points.present)[indices]
    total = open_.sum(axis=2, dtype=np.int32)
    if space.points.on_grid:
        # A comparison that the bounds leave open is a tie.
        return 1 + closer + total / 2
    by_products = on_host(bounds.share, space) > 0
    heavy = by_products & (total.sum(axis=1) > _HEAVY_SHARE * open_.shape[2] * LANE)
    open_[heavy] = 0
    ranks = 1 + closer + _settle(space, rows, bounds, targets, open_) / 2
    for start in range(0, int(heavy.sum()), DOUBTFUL):
        some = np.flatnonzero(heavy)[start : start + DOUBTFUL]
        at, alone = np.resize(some, DOUBTFUL), space.alone()
        narrow = alone.run(difference_bounds, rows[at])
        ranks[some] = _ranks(alone, rows[at], narrow, indices[at])[: len(some)]
    return ranks


def _tally(
    points: Points, rows: Int[Array, " b"], bounds: Bounds, targets: _Targets
) -> tuple[Int[Array, "b t"], Int8[Array, "b t lanes"]]:
    """The points that are certainly closer, and how many others may be in each lane."""
    upper = upper_bounds(points, rows, bounds)
    closer = lane_counts(upper[:, None] < targets.near[:, :, None])
    within = lane_counts(bounds.lower[:, None] <= targets.far[:, :, None])
    return jnp.sum(closer, axis=2, dtype=jnp.int32), within - closer


class _Lanes(NamedTuple):
    """Lanes of a block of distances, each for one target of one row.

    Attributes:
        row: `[v]`, of the block.
        target: `[v]`, of the row.
        lane: `[v]`.
    """

    row: Int[EitherArray, " v"]
    target: Int[EitherArray, " v"]
    lane: Int[EitherArray, " v"]


@jax.jit
def _open_columns(
    points: Points, rows: Int[Array, " b"], bounds: Bounds, targets: _Targets, lanes: _Lanes
) -> Bool[Array, "v LANE"]:
    """Which columns of the lanes are open; the target itself is one of them."""
    at = lanes.row[:, None], lane_columns(lanes.lane, bounds.lower.shape[1] // LANE)
    near, far = (part[lanes.row, lanes.target][:, None] for part in targets[1:])
    return (upper_bounds(points, rows, bounds, at) >= near) & (bounds.lower[at] <= far)


def _settle(
    space: Space,
    rows: Int[np.ndarray, " b"],
    bounds: Bounds,
    targets: _Targets,
    open_: Int8[np.ndarray, "b t lanes"],
) -> Int[np.ndarray, "b t"]:
    """Twice the number of open points that are closer, plus the number of those as far."""
    doubled = np.zeros(open_.shape[:2], np.int32)
    places, outline = np.nonzero(open_), without_coordinates(space.shared)
    # Once also where nothing is open, so that the first cloud compiles what the next may need.
    count = max(1, len(places[0]))
    at_once = _FEW_LANES if count <= _FEW_LANES else _MANY_LANES
    # Where so many are open, points may coincide; they are compared once.
    alike = first_alike(space.points) if count > _FEW_LANES else None
    for start in range(0, count, at_once):
        some = [index[start : start + at_once] for index in places]
        lanes = _Lanes(*(np.resize(index, at_once).astype(np.int32) for index in some))
        mask = on_host(known_now(_open_columns)(outline, rows, bounds, targets, lanes), space)
        entry, within_lane = np.nonzero(mask[: len(some[0])])
        row, target, lane = (index[entry] for index in some)
        column = (lane + open_.shape[2] * within_lane).astype(np.int32)
        other = column != targets.indices[row, target]
        triples, times = _distinct((row[other], target[other], column[other]), alike)
        decided = _compare(space, rows, targets, triples)
        np.add.at(doubled, triples[:2], times * decided)
    return doubled


def _distinct(
    triples: tuple[Int[np.ndarray, " p"], ...], alike: Int[np.ndarray, " m"] | None
) -> tuple[tuple[Int[np.ndarray, " q"], ...], int | Int[np.ndarray, " q"]]:
    """Row, target and column of open comparisons, each once for columns alike, and how often."""
    if alike is None:
        return triples, 1
    row, target, column = triples
    shape = row.max(initial=0) + 1, target.max(initial=0) + 1, len(alike)
    keys, times = np.unique(
        np.ravel_multi_index((row, target, alike[column]), shape), return_counts=True
    )
    return tuple(index.astype(np.int32) for index in np.unravel_index(keys, shape)), times


def _compare(
    space: Space,
    rows: Int[np.ndarray, " b"],
    targets: _Targets,
    triples: tuple[Int[np.ndarray, " p"], ...],
) -> Int[np.ndarray, " p"]:
    """2 where a column is closer to a row than the target, 1 where as close, else 0."""
    row, target, column = triples
    away = _distances(space, rows[row], column, len(rows))
    own, near, far = (part[row, target] for part in targets)
    decided = 2 * (away < near).astype(np.int32)
    (unsure,) = np.nonzero((away >= near) & (away <= far))
    decided[unsure] = closer_on_host(space.points, rows[row[unsure]], column[unsure], own[unsure])
    return decided


def _distances(
    space: Space, rows: Int[np.ndarray, " p"], columns: Int[np.ndarray, " p"], length: int
) -> Float[EitherArray, " p"]:
    """Squared distances of pairs by differences, as many at a time as a block of candidates."""
    if len(rows) * space.points.values.shape[1] <= _FEW_ENTRIES:
        known = known_values(space.points)
        return pair_distances(known, rows, known, columns)
    shape = length, CANDIDATES
    pieces = [np.zeros(0, np.float32)]
    for start in range(0, len(rows), length * CANDIDATES):
        some = [pair[start : start + length * CANDIDATES] for pair in (rows, columns)]
        filled = [np.resize(pair, shape).astype(np.int32) for pair in some]
        pieces.append(on_host(space.run(pair_block, *filled), space).ravel()[: len(some[0])])
    return np.concatenate(pieces)


def _doubled_precisely(
    points: Points, row: Int[Array, ""], targets: Int[Array, " k"]
) -> Int[Array, " k"]:
    """Twice the number of points closer than each target, plus the number of those as far."""
    exact = precise_row(points, row)

    def of_target(target: Int[Array, ""]) -> Int[Array, ""]:
        return jnp.sum(comparisons(points, row, exact, target), dtype=jnp.int32) - 1

    return lax.map(of_target, targets)
