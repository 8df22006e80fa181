"""Mid-ranks by counting: one pass over a block of distances, then the comparisons left open.

What is compiled counts, for every target, the points that the bounds prove to be closer, and
in which columns the others are that may be. These few are compared one by one: by float32
differences, and beyond on the host. On an accelerator, and while a function is traced, they are
compared on the device.
"""

from collections.abc import Callable, Sequence
from functools import partial
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
from jaxvae.geometry.finding import DOUBTFUL, distances_of_pairs, pair_block
from jaxvae.geometry.host import known_now
from jaxvae.geometry.points import Points, first_alike, known_values
from jaxvae.geometry.precise import Expansion, comparisons, less, precise_distances, precise_row
from jaxvae.geometry.rows import Space, on_host, with_redone, without_coordinates
from jaxvae.geometry.selection import LANE, lane_columns, lane_counts
from jaxvae.typing import EitherArray

# Targets of a row that share one pass over its distances.
_TARGETS = 16
# Open comparisons are looked up in so many lanes at a time.
# An ordinary block leaves open comparisons in at most so many lanes.
_LANES, _FEW_LANES = 2048, 256
# The device settles at most so many open comparisons at a time for each row of a block,
# and at most so many coordinates of them.
# Of those that float32 leaves open it settles so many times fewer at a time.
_OPEN_PER_ROW, _OPEN_ENTRIES, _FEWER_UNSURE = 8, 2**26, 16
# On the device, a row with a larger share of open comparisons is left out,
# and so is one with so many that int32 could not count those of all rows.
_LEFT_OUT_SHARE, _MOST_OPEN = 1 / 4, 2**30
# Pairs of at most so many coordinates are subtracted on the host.
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
    return count_each([space], rows, [space.run(distance_bounds, rows)], targets)[0]


def count_each(
    spaces: Sequence[Space],
    rows: Int[np.ndarray, " b"],
    bounds: Sequence[Bounds],
    targets: Int[np.ndarray, "b k"],
) -> list[Float[np.ndarray, "b k"]]:
    """In every space 1 + closer + (equally far) / 2 for the targets of each row, by its bounds."""
    k = targets.shape[1]
    width = min(k, _TARGETS)
    padded = np.pad(targets, ((0, 0), (0, -k % width)), mode="edge")
    groups = np.split(padded, padded.shape[1] // width, axis=1)
    begun = [
        _begun(space, rows, of_space, group)
        for space, of_space in zip(spaces, bounds, strict=True)
        for group in groups
    ]
    ranks = [finish() for finish in begun]
    parts = [ranks[start : start + len(groups)] for start in range(0, len(ranks), len(groups))]
    return [np.concatenate(of_space, axis=1)[:, :k] for of_space in parts]


def count_traced(
    points: Points, rows: Int[Array, " b"], targets: Int[Array, "b k"]
) -> Float[Array, "b k"]:
    """`count` of some rows while a function is traced, all that is open settled on the device."""
    # Stored, so that an entry that is looked up has the bits that were counted.
    bounds = distance_bounds(points, rows)
    bounds = bounds._replace(lower=lax.optimization_barrier(bounds.lower))
    doubled, heavy = counted(points, rows, bounds, targets)
    doubled = with_redone(
        heavy, doubled, lambda at: _doubled_precisely(points, rows[at], targets[at])
    )
    return 1 + doubled / 2


def counted(
    points: Points, rows: Int[Array, " b"], bounds: Bounds, indices: Int[Array, "b t"]
) -> tuple[Int[Array, "b t"], Bool[Array, " b"]]:
    """Twice the points closer than each target, plus those as far; and rows that are left out.

    All that the bounds leave open is settled on the device. Left out are rows of which they
    leave so much open that differences to all points cost less.
    """
    margin = 2 * rounding(points)
    away = pair_block(points, jnp.broadcast_to(rows[:, None], indices.shape), indices)
    # Stored, so that all that compare with them see the same bits.
    reach = lax.optimization_barrier((away * (1 - margin), away * (1 + margin)))
    targets = _Targets(indices, *reach)
    closer, open_ = _tally(points, rows, bounds, targets)
    # A target that is present is open itself, and does not count.
    total = jnp.sum(open_, axis=2, dtype=jnp.int32) - points.present[indices]
    entries = indices.shape[1] * bounds.lower.shape[1]
    most = min(int(_LEFT_OUT_SHARE * entries), _MOST_OPEN // len(rows))
    heavy = ~points.on_grid & (jnp.sum(total, axis=1) > most)
    # On a grid, a comparison that the bounds leave open is a tie.
    doubled = 2 * closer + jnp.where(points.on_grid, total, 0)
    open_ = jnp.where((points.on_grid | heavy)[:, None, None], 0, open_)
    return doubled + _doubled_open(points, rows, bounds, targets, open_), heavy


def _doubled_open(
    points: Points,
    rows: Int[Array, " b"],
    bounds: Bounds,
    targets: _Targets,
    open_: Int8[Array, "b t lanes"],
) -> Int[Array, "b t"]:
    """Of the points that the bounds leave open: twice those closer, plus those as far.

    The target is one of them, and does not count.
    """
    b, t, lanes = open_.shape
    at_once = min(_OPEN_PER_ROW * b, max(LANE, _OPEN_ENTRIES // points.values.shape[1]))
    within = jnp.cumsum(open_.reshape(b * t, lanes), axis=1, dtype=jnp.int32)
    ends = jnp.cumsum(within[:, -1])
    outline = without_coordinates(points)

    def settle(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        start, doubled = carry
        entry = start + jnp.arange(at_once, dtype=jnp.int32)
        present = entry < ends[-1]
        pair = jnp.minimum(jnp.searchsorted(ends, entry, side="right"), b * t - 1)
        nth = entry - (ends[pair] - within[pair, -1])
        lane = _first_above(within, pair, nth)
        row, target = pair // t, pair % t
        one, near, far = (part[row, target] for part in targets)
        is_open = _open_columns(outline, rows, bounds, targets, _Lanes(row, target, lane))
        # The place of the entry among those of its lane.
        nth -= jnp.where(lane > 0, within[pair, lane - 1], 0)
        column = lane + lanes * _place_of(is_open, nth)
        away = pair_distances(points, rows[row], points, column)
        doubled = doubled.at[pair].add(2 * (present & (away < near)))
        unsure = present & (away >= near) & (away <= far) & (column != one)
        triples = rows[row], column, one
        return start + at_once, _with_unsure(points, triples, unsure, pair, doubled)

    start = jnp.int32(0), jnp.zeros(b * t, jnp.int32)
    _, doubled = lax.while_loop(lambda carry: carry[0] < ends[-1], settle, start)
    return doubled.reshape(b, t)


def _place_of(is_set: Bool[Array, "v LANE"], nth: Int[Array, " v"]) -> Int[Array, " v"]:
    """The place of the nth entry that is set in every row, counted from 0."""
    # A product takes a TPU's compiler a thirtieth of what a running sum takes.
    until = jnp.triu(jnp.ones((LANE, LANE), jnp.float32))
    counts = jnp.matmul(is_set.astype(jnp.float32), until, precision=lax.Precision.HIGHEST)
    return jnp.minimum(jnp.sum(counts <= nth[:, None], axis=1, dtype=jnp.int32), LANE - 1)


def _first_above(
    within: Int[Array, "p lanes"], pair: Int[Array, " v"], nth: Int[Array, " v"]
) -> Int[Array, " v"]:
    """The first lane of a row of ascending numbers that is above a number, by bisection."""
    lanes = within.shape[1]

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) // 2
        above = within[pair, middle] > nth
        return jnp.where(above, low, middle + 1), jnp.where(above, middle, high)

    start = jnp.zeros_like(pair), jnp.full_like(pair, lanes - 1)
    return lax.fori_loop(0, lanes.bit_length(), halve, start)[0]


def _with_unsure(
    points: Points,
    triples: tuple[Int[Array, " v"], ...],
    unsure: Bool[Array, " v"],
    pair: Int[Array, " v"],
    doubled: Int[Array, " p"],
) -> Int[Array, " p"]:
    """The counts, with those of the points that float32 cannot tell from the target."""
    at_once = max(1, len(unsure) // _FEWER_UNSURE)

    def settle(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        left, doubled = carry
        (place,) = jnp.nonzero(left, size=at_once, fill_value=len(left))
        row, column, one = (each[jnp.minimum(place, len(left) - 1)] for each in triples)
        both = precise_distances(points, row, jnp.stack([column, one]))
        a, b = (Expansion(*(part[at] for part in both)) for at in (0, 1))
        result = 1 + less(a, b).astype(jnp.int32) - less(b, a)
        at = jnp.where(place < len(left), pair[place], len(doubled))
        return left.at[place].set(False, mode="drop"), doubled.at[at].add(result, mode="drop")

    return lax.while_loop(lambda carry: jnp.any(carry[0]), settle, (unsure, doubled))[1]


def _begun(
    space: Space, rows: Int[np.ndarray, " b"], bounds: Bounds, indices: Int[np.ndarray, "b t"]
) -> Callable[[], Float[np.ndarray, "b t"]]:
    """The ranks as a function to call for them: until then an accelerator works on them."""
    if not space.choices.settles_on_device:
        return lambda: _ranks(space, rows, bounds, indices)
    counts = space.run(counted, rows, bounds, indices)

    def finish() -> Float[np.ndarray, "b t"]:
        doubled, heavy = on_host(counts, space)
        return _with_heavy(space, rows, indices, 1 + doubled / 2, heavy)

    return finish


def _with_heavy(
    space: Space,
    rows: Int[np.ndarray, " b"],
    indices: Int[np.ndarray, "b t"],
    ranks: Float[np.ndarray, "b t"],
    heavy: Bool[np.ndarray, " b"],
) -> Float[np.ndarray, "b t"]:
    """The ranks, those of heavy rows from differences to all points."""
    (left,) = np.nonzero(heavy)
    for start in range(0, len(left), DOUBTFUL):
        some = left[start : start + DOUBTFUL]
        at, alone = np.resize(some, DOUBTFUL), space.alone()
        narrow = alone.run(difference_bounds, rows[at])
        ranks[some] = _ranks(alone, rows[at], narrow, indices[at])[: len(some)]
    return ranks


def _ranks(
    space: Space, rows: Int[np.ndarray, " b"], bounds: Bounds, indices: Int[np.ndarray, "b t"]
) -> Float[np.ndarray, "b t"]:
    away = _distances(space, np.repeat(rows, indices.shape[1]), indices.ravel())
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
    return _with_heavy(space, rows, indices, ranks, heavy)


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


def _open_columns(
    points: Points, rows: Int[EitherArray, " b"], bounds: Bounds, targets: _Targets, lanes: _Lanes
) -> Bool[EitherArray, "v LANE"]:
    """Which columns of the lanes are open; the target itself is one of them."""
    at = lanes.row[:, None], lane_columns(lanes.lane, bounds.lower.shape[1] // LANE)
    near, far = (part[lanes.row, lanes.target][:, None] for part in targets[1:])
    return (upper_bounds(points, rows, bounds, at) >= near) & (bounds.lower[at] <= far)


_open_columns_in_program = jax.jit(_open_columns)


def _look_up(
    space: Space, rows: Int[np.ndarray, " b"], bounds: Bounds, targets: _Targets
) -> Callable[[_Lanes], Bool[np.ndarray, "v LANE"]]:
    """`_open_columns` of lanes, wherever the bounds are."""
    if bounds.lower.is_fully_addressable:
        outline = jax.tree.map(np.asarray, without_coordinates(space.points))
        return partial(_open_columns, outline, rows, on_host(bounds, space), targets)

    def in_program(lanes: _Lanes) -> Bool[np.ndarray, "v LANE"]:
        filled = _Lanes(*(np.resize(index, _LANES).astype(np.int32) for index in lanes))
        outline = without_coordinates(space.shared)
        found = known_now(_open_columns_in_program)(outline, rows, bounds, targets, filled)
        return on_host(found, space)[: len(lanes.row)]

    return in_program


def _settle(
    space: Space,
    rows: Int[np.ndarray, " b"],
    bounds: Bounds,
    targets: _Targets,
    open_: Int8[np.ndarray, "b t lanes"],
) -> Int[np.ndarray, "b t"]:
    """Twice the number of open points that are closer, plus the number of those as far."""
    doubled = np.zeros(open_.shape[:2], np.int32)
    places, look_up = np.nonzero(open_), _look_up(space, rows, bounds, targets)
    # Where so many are open, points may coincide; they are compared once.
    alike = first_alike(space.points) if len(places[0]) > _FEW_LANES else None
    for start in range(0, len(places[0]), _LANES):
        lanes = _Lanes(*(index[start : start + _LANES] for index in places))
        entry, within_lane = np.nonzero(look_up(lanes))
        row, target, lane = (index[entry] for index in lanes)
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
    away = _distances(space, rows[row], column)
    own, near, far = (part[row, target] for part in targets)
    decided = 2 * (away < near).astype(np.int32)
    (unsure,) = np.nonzero((away >= near) & (away <= far))
    decided[unsure] = closer_on_host(space.points, rows[row[unsure]], column[unsure], own[unsure])
    return decided


def _distances(
    space: Space, rows: Int[np.ndarray, " p"], columns: Int[np.ndarray, " p"]
) -> Float[EitherArray, " p"]:
    """Squared distances of pairs by differences; of few pairs nothing is compiled."""
    if len(rows) * space.points.values.shape[1] > _FEW_ENTRIES:
        return distances_of_pairs(space, rows, columns)
    known = known_values(space.points)
    return pair_distances(known, rows, known, columns)


def _doubled_precisely(
    points: Points, row: Int[Array, ""], targets: Int[Array, " k"]
) -> Int[Array, " k"]:
    """Twice the number of points closer than each target, plus the number of those as far."""
    exact = precise_row(points, row)

    def of_target(target: Int[Array, ""]) -> Int[Array, ""]:
        return jnp.sum(comparisons(points, row, exact, target), dtype=jnp.int32) - 1

    return lax.map(of_target, targets)
