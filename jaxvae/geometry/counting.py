"""Mid-ranks by counting: one pass over a block of distances, then the comparisons left open."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Int8

from jaxvae.geometry.distances import (
    Bounds,
    distance_bounds,
    pair_distances,
    rounding,
    row_bounds,
    upper_bounds,
)
from jaxvae.geometry.points import Points
from jaxvae.geometry.precise import Expansion, less, precise_distances
from jaxvae.geometry.rows import redo_rows
from jaxvae.geometry.selection import lane_counts, visit

# Targets of a row that share one pass over its distances.
_TARGETS = 16
# Comparisons that are decided beyond the precision of float64 at a time.
_PRECISE = 64
# A row with a larger share of open comparisons is taken by differences.
_HEAVY_SHARE = 1 / 16


class _Targets(NamedTuple):
    """The points whose ranks are wanted, a few for each row.

    Attributes:
        indices: `[b, t]`.
        near: `[b, t]`, squared distances below this are smaller than the target's.
        far: `[b, t]`, and above this larger.
    """

    indices: Int[Array, "b t"]
    near: Float[Array, "b t"]
    far: Float[Array, "b t"]


class _Tally(NamedTuple):
    """What the bounds say about each target.

    Attributes:
        closer: `[b, t]`, points that are certainly closer.
        open: `[b, t, lanes]`, other points that may be, in each lane of columns.
    """

    closer: Int[Array, "b t"]
    open: Int8[Array, "b t lanes"]


@jax.jit
def count_block(
    points: Points, rows: Int[Array, " b"], targets: Int[Array, "b k"]
) -> Float[Array, "b k"]:
    """Mid-ranks of the targets of each row among the present points."""
    return mid_ranks(points, rows, distance_bounds(points, rows), targets)


@jax.jit
def mid_ranks(
    points: Points, rows: Int[Array, " b"], bounds: Bounds, targets: Int[Array, "b k"]
) -> Float[Array, "b k"]:
    """1 + closer + (equally far) / 2 for the targets of each row, given its distances."""
    b, k = targets.shape
    width = min(k, _TARGETS)
    groups = jnp.pad(targets, ((0, 0), (0, -k % width)), mode="edge").reshape(b, -1, width)

    def ranks_of(bounds: Bounds, indices: Int[Array, "b t"]) -> tuple[Bounds, Float[Array, "b t"]]:
        group = _as_targets(points, rows, indices)
        bounds, tally = _tally_all(points, rows, bounds, group)
        return bounds, 1 + _settle(points, rows, bounds, group, tally) / 2

    if k == width:
        return ranks_of(bounds, targets)[1]
    ranks = lax.scan(ranks_of, bounds, groups.swapaxes(0, 1))[1]
    return ranks.swapaxes(0, 1).reshape(b, -1)[:, :k]


def _as_targets(points: Points, rows: Int[Array, " b"], indices: Int[Array, "b t"]) -> _Targets:
    away = lax.map(lambda target: pair_distances(points, rows, points, target), indices.T).T
    margin = 2 * rounding(points)
    # Stored, so that whoever compares with them sees the same bits.
    return _Targets(indices, *lax.optimization_barrier((away * (1 - margin), away * (1 + margin))))


def _tally_all(
    points: Points, rows: Int[Array, " b"], bounds: Bounds, targets: _Targets
) -> tuple[Bounds, _Tally]:
    """Count by products, and again by differences where these leave too much open."""

    def heavy(bounds: Bounds, tally: _Tally) -> Bool[Array, " b"]:
        open_ = jnp.sum(tally.open, axis=(1, 2), dtype=jnp.int32)
        return (open_ > _HEAVY_SHARE * points.n) & (bounds.share > 0)

    def by_differences(carry: tuple[Bounds, _Tally]) -> tuple[Bounds, _Tally]:
        bounds = redo_rows(heavy(*carry), lambda row: row_bounds(points, rows[row]), carry[0])
        return bounds, _tally(points, rows, bounds, targets)

    first = bounds, _tally(points, rows, bounds, targets)
    return lax.while_loop(lambda carry: jnp.any(heavy(*carry)), by_differences, first)


def _tally(points: Points, rows: Int[Array, " b"], bounds: Bounds, targets: _Targets) -> _Tally:
    upper = upper_bounds(points, rows, bounds)
    closer = lane_counts(upper[:, None] < targets.near[:, :, None])
    within = lane_counts(bounds.lower[:, None] <= targets.far[:, :, None])
    # The target itself is within, and not closer; it does not count.
    b, t, lanes = closer.shape
    row = jnp.arange(b)[:, None]
    own = bounds.lower[row, targets.indices] <= targets.far
    open_ = (
        (within - closer).at[row, jnp.arange(t), targets.indices % lanes].add(-own.astype(jnp.int8))
    )
    return _Tally(jnp.sum(closer, axis=2, dtype=jnp.int32), open_)


def _settle(
    points: Points, rows: Int[Array, " b"], bounds: Bounds, targets: _Targets, tally: _Tally
) -> Int[Array, "b t"]:
    """Twice the number of closer points, plus the number of others as far as the target."""
    b, t, lanes = tally.open.shape
    indices, near, far = (array.reshape(b * t) for array in targets)

    def is_open(pair: Int[Array, " v"], columns: Int[Array, "v w"]) -> Bool[Array, "v w"]:
        upper = upper_bounds(points, rows, bounds, (pair[:, None] // t, columns))
        within = bounds.lower[pair[:, None] // t, columns] <= far[pair, None]
        return (upper >= near[pair, None]) & within & (columns != indices[pair, None])

    def decide(doubled: Array, pair: Array, column: Array, found: Array) -> Int[Array, " p"]:
        away = pair_distances(points, rows[pair // t], points, column)
        closer = away < near[pair]
        unsure = found & ~closer & (away <= far[pair])
        doubled = doubled.at[pair].add(2 * (found & closer))
        triples = _Triples(pair, rows[pair // t], indices[pair], column)
        return _decide_precisely(points, triples, unsure, doubled)

    # On an exact grid a comparison that the bounds leave open is a tie.
    tied = points.on_grid * jnp.sum(tally.open, axis=2, dtype=jnp.int32)
    left = jnp.where(points.on_grid, 0, tally.open).reshape(b * t, lanes)
    doubled = (2 * tally.closer + tied).reshape(b * t)
    return visit(left, is_open, decide, doubled).reshape(b, t)


class _Triples(NamedTuple):
    """Comparisons: is the column closer to the row than the target of the pair?"""

    pair: Int[Array, " v"]
    row: Int[Array, " v"]
    target: Int[Array, " v"]
    column: Int[Array, " v"]


def _decide_precisely(
    points: Points, triples: _Triples, unsure: Bool[Array, " v"], doubled: Int[Array, " p"]
) -> Int[Array, " p"]:
    """Add 2 to a pair where the column is closer than the target, 1 where it is as far."""

    def body(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        unsure, doubled = carry
        (at,) = jnp.nonzero(unsure, size=_PRECISE, fill_value=len(unsure))
        pair, row, target, column = (index.at[at].get(mode="clip") for index in triples)
        both = precise_distances(points, row, points, jnp.stack([column, target]))
        away, limit = (Expansion(*parts) for parts in zip(*both, strict=True))
        share = 1 + less(away, limit).astype(jnp.int32) - less(limit, away).astype(jnp.int32)
        doubled = doubled.at[pair].add(jnp.where(at < len(unsure), share, 0))
        return unsure.at[at].set(False, mode="drop"), doubled

    return lax.while_loop(lambda carry: jnp.any(carry[0]), body, (unsure, doubled))[1]
