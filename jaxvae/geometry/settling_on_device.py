"""Open comparisons settled on the device: on an accelerator, and while a function is traced."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int, Int8

from jaxvae.geometry.distances import Bounds, pair_distances, rounding
from jaxvae.geometry.finding import pair_block
from jaxvae.geometry.open_comparisons import Lanes, Targets, open_columns, tally
from jaxvae.geometry.points import Points
from jaxvae.geometry.precise import (
    Expansion,
    compared,
    comparisons,
    precise_distances,
    precise_row,
)
from jaxvae.geometry.rows import without_coordinates
from jaxvae.geometry.selection import LANE

# The device settles at most so many open comparisons at a time for each row of a block,
# and at most so many coordinates of them.
# Of those that float32 leaves open it settles so many times fewer at a time.
_OPEN_PER_ROW, _OPEN_ENTRIES, _FEWER_UNSURE = 8, 2**26, 16
# A row with a larger share of open comparisons is left out,
# and so is one with so many that int32 could not count those of all rows.
_LEFT_OUT_SHARE, _MOST_OPEN = 1 / 4, 2**30


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
    targets = Targets(indices, *reach)
    closer, open_ = tally(points, rows, bounds, targets)
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
    targets: Targets,
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
        is_open = open_columns(outline, rows, bounds, targets, Lanes(row, target, lane))
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
        result = compared(a, b)
        at = jnp.where(place < len(left), pair[place], len(doubled))
        return left.at[place].set(False, mode="drop"), doubled.at[at].add(result, mode="drop")

    return lax.while_loop(lambda carry: jnp.any(carry[0]), settle, (unsure, doubled))[1]


def doubled_precisely(
    points: Points, row: Int[Array, ""], targets: Int[Array, " k"]
) -> Int[Array, " k"]:
    """Twice the number of points closer than each target, plus the number of those as far."""
    exact = precise_row(points, row)

    def of_target(target: Int[Array, ""]) -> Int[Array, ""]:
        return jnp.sum(comparisons(points, row, exact, target), dtype=jnp.int32) - 1

    return lax.map(of_target, targets)
