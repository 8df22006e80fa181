"""The share of the first k places that every point has, where points tie for the last.

Where the k-th neighbor and the next are equally far, which of them is among the first k would
follow from the order of the rows. All that are as far as the k-th share the places that the
closer ones leave: t points that tie for r places have a share of r / t each.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from jaxvae.geometry.comparing import closer
from jaxvae.geometry.distances import distance_bounds, pair_distances, rounding
from jaxvae.geometry.host import numpy_of
from jaxvae.geometry.points import first_alike, known_values
from jaxvae.geometry.rows import Space, on_host
from jaxvae.typing import EitherArray


def may_tie(
    squared: Float[EitherArray, "*b c"], k: int, margin: float | Float[EitherArray, ""]
) -> Bool[EitherArray, "*b"]:
    """Whether float32 leaves open that the k-th and the next are equally far.

    Args:
        squared: squared distances by differences, ascending, c > k unless there are no more.
        k: how many places there are.
        margin: bound on their rounding, see `rounding`.
    """
    if squared.shape[-1] == k:
        return numpy_of(squared).zeros(squared.shape[:-1], bool)
    return squared[..., k] <= squared[..., k - 1] * (1 + 2 * margin)


def compared_with(
    space: Space, rows: Int[np.ndarray, " r"], kth: Int[np.ndarray, " r"]
) -> Int8[np.ndarray, "r m"]:
    """2 for points that are closer to a row than its k-th neighbor is, 1 for those as far, else 0.

    Points that coincide are compared once.

    Args:
        space: the cloud.
        rows: which points.
        kth: the k-th neighbor of each.
    """
    points = known_values(space.points)
    m = len(points.present)
    block = np.resize(rows, max(len(rows), min(space.length, m)))
    lower = on_host(space.alone().run(distance_bounds, block).lower, space)[: len(rows)]
    reach = pair_distances(points, rows, points, kth) * (1 + 2 * rounding(points))
    row, column = np.nonzero(lower <= reach[:, None])
    pairs, inverse = np.unique(row * m + first_alike(points)[column], return_inverse=True)
    at, other = pairs // m, pairs % m
    result = np.zeros(lower.shape, np.int8)
    result[row, column] = closer(points, rows[at], other, kth[at])[inverse]
    return result


def shares_of(compared: Int[EitherArray, "*r m"], k: int) -> Float[EitherArray, "*r m"]:
    """The share of the first k places that every point has; see `compared_with`."""
    numpy = numpy_of(compared)
    is_closer, ties = compared == 2, compared == 1
    left = k - is_closer.sum(axis=-1, keepdims=True)
    parts = left / numpy.maximum(ties.sum(axis=-1, keepdims=True), 1)
    return numpy.where(ties, parts, is_closer).astype(np.float32)
