"""Open comparisons settled on the host: one by one by float32 differences, and beyond."""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from jaxvae.geometry.comparing import closer as closer_on_host
from jaxvae.geometry.distances import Bounds, difference_bounds, pair_distances, rounding
from jaxvae.geometry.finding import DOUBTFUL, distances_of_pairs
from jaxvae.geometry.host import known_now
from jaxvae.geometry.open_comparisons import Lanes, Targets, open_columns, tally
from jaxvae.geometry.points import first_alike, known_values
from jaxvae.geometry.rows import Space, on_host, without_coordinates
from jaxvae.geometry.selection import LANE
from jaxvae.typing import EitherArray

# Open comparisons are looked up in so many lanes at a time.
# An ordinary block leaves open comparisons in at most so many lanes.
_LANES, _FEW_LANES = 2048, 256
# Pairs of at most so many coordinates are subtracted on the host.
_FEW_ENTRIES = 2**14
# A row with a larger share of open comparisons is taken by differences.
_HEAVY_SHARE = 1 / 16


def ranks_on_host(
    space: Space, rows: Int[np.ndarray, " b"], bounds: Bounds, indices: Int[np.ndarray, "b t"]
) -> Callable[[], Float[np.ndarray, "b t"]]:
    """Mid-ranks of the targets of each row, all that its bounds leave open settled on the host.

    They come as a function to call for them: until then the device counts.
    """
    away = _distances(space, np.repeat(rows, indices.shape[1]), indices.ravel())
    margin, away = 2 * rounding(space.points), away.reshape(indices.shape)
    near, far = ((away * factor).astype(np.float32) for factor in (1 - margin, 1 + margin))
    targets = Targets(indices, near, far)
    counts = space.run_without_coordinates(tally, rows, bounds, targets)
    return lambda: _finished(space, rows, bounds, targets, counts)


def _finished(
    space: Space,
    rows: Int[np.ndarray, " b"],
    bounds: Bounds,
    targets: Targets,
    counts: tuple[Int[EitherArray, "b t"], Int8[EitherArray, "b t lanes"]],
) -> Float[np.ndarray, "b t"]:
    """The ranks, from what was counted by `tally`."""
    indices = targets.indices
    closer, open_ = map(np.array, on_host(counts, space))
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
    return with_heavy(space, rows, indices, ranks, heavy)


def with_heavy(
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
        ranks[some] = ranks_on_host(alone, rows[at], narrow, indices[at])()[: len(some)]
    return ranks


def _settle(
    space: Space,
    rows: Int[np.ndarray, " b"],
    bounds: Bounds,
    targets: Targets,
    open_: Int8[np.ndarray, "b t lanes"],
) -> Int[np.ndarray, "b t"]:
    """Twice the number of open points that are closer, plus the number of those as far."""
    doubled = np.zeros(open_.shape[:2], np.int32)
    # In a flat mask of booleans NumPy finds the few that are set ten times as fast.
    places = np.unravel_index(np.flatnonzero(open_ != 0), open_.shape)
    look_up = _look_up(space, rows, bounds, targets)
    # Where so many are open, points may coincide; they are compared once.
    alike = first_alike(space.points) if len(places[0]) > _FEW_LANES else None
    for start in range(0, len(places[0]), _LANES):
        lanes = Lanes(*(index[start : start + _LANES] for index in places))
        entry, within_lane = np.nonzero(look_up(lanes))
        row, target, lane = (index[entry] for index in lanes)
        column = (lane + open_.shape[2] * within_lane).astype(np.int32)
        other = column != targets.indices[row, target]
        triples, times = _distinct((row[other], target[other], column[other]), alike)
        decided = _compare(space, rows, targets, triples)
        np.add.at(doubled, triples[:2], times * decided)
    return doubled


_open_columns_in_program = jax.jit(open_columns)


def _look_up(
    space: Space, rows: Int[np.ndarray, " b"], bounds: Bounds, targets: Targets
) -> Callable[[Lanes], Bool[np.ndarray, "v LANE"]]:
    """`open_columns` of lanes, wherever the bounds are."""
    if bounds.lower.is_fully_addressable:
        outline = jax.tree.map(np.asarray, without_coordinates(space.points))
        return partial(open_columns, outline, rows, on_host(bounds, space), targets)

    def in_program(lanes: Lanes) -> Bool[np.ndarray, "v LANE"]:
        filled = Lanes(*(np.resize(index, _LANES).astype(np.int32) for index in lanes))
        outline = without_coordinates(space.shared)
        found = known_now(_open_columns_in_program)(outline, rows, bounds, targets, filled)
        return on_host(found, space)[: len(lanes.row)]

    return in_program


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
    targets: Targets,
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
