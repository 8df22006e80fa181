"""Comparisons of two distances, decided on the host for the few that float32 leaves open.

First in float64, whose rounding is bounded; then by `precise`, where what float64 cannot
resolve counts as equal. Nothing is compiled.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from jaxvae.geometry.distances import rounding
from jaxvae.geometry.points import Points, known_values
from jaxvae.geometry.precise import Expansion, compared, less, precise_distances

# Coordinates that are held at a time.
_ENTRIES = 2**20


def closer(
    points: Points,
    rows: Int[np.ndarray, " p"],
    first: Int[np.ndarray, " p"],
    second: Int[np.ndarray, " p"],
) -> Int[np.ndarray, " p"]:
    """2 where a row is closer to its first point than to its second, 1 where as close, else 0."""
    points = known_values(points)

    def of_some(at: slice) -> np.ndarray:
        one, other = (_distances(points, rows[at], p[at]) for p in (first, second))
        result = 2 * (one < other).astype(np.int32)
        (open_,) = np.nonzero(np.abs(one - other) <= _rounding(points) * np.maximum(one, other))
        if len(open_) == 0:
            return result
        a, b = (precise_distances(points, rows[at][open_], p[at][open_]) for p in (first, second))
        result[open_] = compared(a, b)
        return result

    return _in_parts(of_some, points, len(rows))


def in_exact_order(
    points: Points,
    rows: Int[np.ndarray, " r"],
    squared: Float[np.ndarray, "r c"],
    columns: Int[np.ndarray, "r c"],
    k: int,
) -> Int[np.ndarray, "r c"]:
    """The columns, sorted again where float32 may have confused the first k distances.

    Args:
        points: the cloud.
        rows: the points from which distances are taken.
        squared: float32 distances by differences, ascending.
        columns: to which points; ties by lowest.
        k: how many of them have to be in order, and to be the nearest.
    """
    # On a grid float32 does not round, and at distance zero there is nothing to round.
    if points.on_grid:
        return columns
    before, after = squared[:, :-1], squared[:, 1:]
    touching = (after <= before * (1 + 2 * rounding(points))) & (after > 0) & np.isfinite(after)
    (touched,) = np.nonzero(touching[:, :k].any(axis=1))
    if len(touched) == 0:
        return columns
    points, columns = known_values(points), columns.copy()
    touching = np.pad(touching[touched], ((0, 0), (1, 1)))
    # A run of candidates in which each touches the next is put in order as a whole.
    runs = np.cumsum(~touching[:, :-1], axis=1)
    close = touching[:, :-1] | touching[:, 1:]
    at, position = np.nonzero(close)
    values_there = runs[at, position]
    order = _order(points, rows[touched][at], columns[touched][at, position], at, values_there)
    columns[touched[at], position] = columns[touched][at, position][order]
    return columns


def _order(
    points: Points,
    rows: Int[np.ndarray, " p"],
    columns: Int[np.ndarray, " p"],
    *groups: Int[np.ndarray, " p"],
) -> Int[np.ndarray, " p"]:
    """The order by distance within groups of pairs, ties by lowest column."""
    exact = _in_parts(
        lambda at: np.stack(precise_distances(points, rows[at], columns[at]), axis=1),
        points,
        len(rows),
    )
    keys = tuple(reversed(groups))
    order = np.lexsort((columns, *exact.T[::-1], *keys))
    before, after = (Expansion(*exact[side].T) for side in (order[:-1], order[1:]))
    same = np.all([group[order][1:] == group[order][:-1] for group in groups], axis=0)
    rank = np.concatenate([[0], np.cumsum(less(before, after) | ~same)])
    return order[np.lexsort((columns[order], rank))]


def _distances(
    points: Points, rows: Int[np.ndarray, " p"], columns: Int[np.ndarray, " p"]
) -> Float[np.ndarray, " p"]:
    """Squared distances in float64, which holds both parts of a coordinate."""
    difference = points.values[rows].astype(np.float64) - points.values[columns]
    if points.rest is not None:
        difference += points.rest[rows].astype(np.float64) - points.rest[columns]
    return np.einsum("pd,pd->p", difference, difference)


def _rounding(points: Points) -> float:
    """Bound on the rounding of both distances, relative to the larger."""
    return 2 * (points.values.shape[1] + 8) * 2.0**-53


def _in_parts(function: Callable[[slice], np.ndarray], points: Points, count: int) -> np.ndarray:
    size = max(1, _ENTRIES // points.values.shape[1])
    starts = range(0, max(1, count), size)
    return np.concatenate([function(slice(start, start + size)) for start in starts])
