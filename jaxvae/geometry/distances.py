"""Squared Euclidean distances: by products where these can be trusted, else by differences.

The product form `|a|^2 + |b|^2 - 2 ab` runs at the speed of the hardware but
cancels for close points. Its rounding is bounded, so it gives a lower and an upper
bound on every distance; whatever the bounds leave open is decided by differences of
the original coordinates, and what float32 differences leave open by `precise`.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxvae.geometry.arrays import as_point_array
from jaxvae.geometry.host import as_bits, from_bits, known_now, numpy_of, rows_of
from jaxvae.geometry.points import Points, as_points
from jaxvae.geometry.rows import blocks, joined, traced_rows
from jaxvae.geometry.selection import LANE, filled_length, least_of_groups
from jaxvae.geometry.sums import most_additions, sum_of_squares
from jaxvae.platforms import choices_for
from jaxvae.typing import ArrayLike, EitherArray

# Squared distance to an absent point: above any other, and finite with its bounds.
FAR = 2.0**120
UNIT = 2.0**-24  # the rounding of one float32 operation
_SMALLEST = 2.0**-126  # a program flushes what is smaller to zero
# Up to so many features differences cost no more than products, and distances are formed by them.
NARROW_FEATURES = 4
# Products are summed in runs of this many features, which bounds their rounding.
_RUN = 1024
# Coordinates of a chunk of columns that are gathered at once.
_CHUNK_ENTRIES = 2**18
# Below this share of |a|^2 + |b|^2 a distance is taken by differences.
_CANCELLED_SHARE = 2.0**-5


class Bounds(NamedTuple):
    """Lower bounds on squared distances, and how far above them the distances reach.

    The upper bound is `lower * (1 + ratio) + share * (|a|^2 + |b|^2)`, formed where it
    is needed (`upper_bounds`). Where both are exact, ratio and share are 0.

    Attributes:
        lower: `[b, m]`, infinite from a point to itself, above `FAR / 2` to absent ones.
        groups: `[b, g]`, the least of these in every group of columns.
        ratio: `[b]`, above 0 for rows taken by differences.
        share: `[b]`, above 0 for rows taken by products.
    """

    lower: Float[EitherArray, "b m"]
    groups: Float[EitherArray, "b g"]
    ratio: Float[EitherArray, " b"]
    share: Float[EitherArray, " b"]


def squared_distances(x: ArrayLike, y: ArrayLike) -> Float[Array, "n m"]:
    """Squared Euclidean distance of every row of `x` to every row of `y`.

    Computed from products of centered points; pairs so close that the product
    cancels are recomputed by differences. The relative error is about 1e-6 for
    ordinary clouds, and equal rows are at distance exactly zero. While a function
    is traced all of them are computed by differences.

    Args:
        x: `[n, ...]`, trailing axes are flattened.
        y: `[m, ...]`, as many features as `x`.

    Returns:
        `[n, m]` in squared units of the input. Zero where the true value is
        below the smallest float32 (1e-38).

    Raises:
        ValueError: for widths that differ, NaN or infinite input, and distances
            whose square is above the largest float32.
    """
    x, y = as_point_array(x), as_point_array(y)
    first, second = as_points(x, y, filled=filled_length)
    distances = distances_in_units(first, second, len(x), len(y))
    if isinstance(distances, jax.core.Tracer):
        return jnp.ldexp(distances, 2 * first.exponent)
    with np.errstate(over="ignore"):  # which is refused below
        distances = np.ldexp(distances, 2 * int(first.exponent))
    return jax.device_put(refuse_overflow(distances, "squared distances"))


def distances_in_units(x: Points, y: Points, n: int, m: int) -> Float[EitherArray, "n m"]:
    """`squared_distances` of the first n and m points, in units of `2**(2 exponent)` of theirs."""
    if isinstance(x.values, jax.core.Tracer):
        return traced_rows(_by_differences, (x, y), n, columns=m, block=1)[:, :m]
    return _known_distances(x, y, n, m)


@known_now
def _known_distances(first: Points, second: Points, n: int, m: int) -> Float[np.ndarray, "n m"]:
    known = jax.tree.map(np.asarray, (first, second))
    placed = jax.device_put((first, second))
    distances = [
        _settled(known, rows, *_distance_block(placed, rows))[:, :m]
        for rows in blocks(n, columns=len(second.norms), choices=choices_for(placed))
    ]
    return joined(distances, n)


def _by_differences(clouds: tuple[Points, Points], rows: Int[Array, " b"]) -> Float[Array, "b m"]:
    x, y = clouds
    columns = jnp.arange(len(y.norms))
    return lax.map(
        lambda row: in_column_chunks(partial(pair_distances, x, row[None], y), y, columns), rows
    )


@jax.jit
def _distance_block(
    clouds: tuple[Points, Points], rows: Int[Array, " b"]
) -> tuple[Float[Array, "b m"], Bool[Array, "b m"]]:
    """Distances by products, and which of them are too close for it."""
    x, y = clouds
    if x.values.shape[1] <= NARROW_FEATURES:
        distances = _narrow_distances(x, rows, y)
        return distances, jnp.zeros(distances.shape, bool)
    scale = x.norms[rows, None] + y.norms[None]
    distances = scale - 2 * _product(x.centered[rows], y.centered)
    return distances, distances < _CANCELLED_SHARE * scale


def _settled(
    clouds: tuple[Points, Points],
    rows: Int[np.ndarray, " b"],
    distances: Float[EitherArray, "b m"],
    close: Bool[EitherArray, "b m"],
) -> Float[np.ndarray, "b m"]:
    """The distances, of close pairs by differences."""
    x, y = clouds
    distances, (row, column) = np.array(distances), np.nonzero(np.asarray(close))
    at_once = max(1, _CHUNK_ENTRIES // x.values.shape[1])
    for start in range(0, len(row), at_once):
        i, j = row[start : start + at_once], column[start : start + at_once]
        distances[i, j] = np.asarray(pair_distances(x, rows[i], y, j))
    return distances


def refuse_overflow(
    distances: Float[EitherArray, "..."], quantity: str
) -> Float[EitherArray, "..."]:
    """The distances, where these are finite."""
    if (
        not isinstance(distances, jax.core.Tracer)
        and not numpy_of(distances).isfinite(distances).all()
    ):
        raise ValueError(
            f"expected {quantity} below the largest float32 (3.4e38), got larger ones; "
            "divide the input by a constant"
        )
    return distances


def distance_bounds(points: Points, rows: Int[Array, " b"]) -> Bounds:
    """Bounds on the squared distances of some points to all others.

    Args:
        points: the cloud.
        rows: indices of the points.
    """
    features, zero = points.values.shape[1], jnp.zeros(len(rows), jnp.float32)
    if features <= NARROW_FEATURES:
        lower, ratio = _around(points, _narrow_distances(points, rows, points))
        return _bounds(lower, rows, zero + ratio, zero)
    slack = jnp.where(points.on_grid, 0.0, _product_rounding(features))
    scale = points.norms[rows, None] + _column_norms(points)[None]
    lower = (1 - slack) * scale - 2 * _product(points.centered[rows], points.centered)
    share = jnp.where(points.on_grid, 0.0, _few_bits(2.01 * _product_rounding(features)))
    return _bounds(lower, rows, zero, zero + share)


def difference_bounds(points: Points, rows: Int[Array, " b"]) -> Bounds:
    """`distance_bounds` by differences: narrow, whatever the cloud, and far slower."""
    lower, ratio = _around(points, _by_differences((points, points), rows))
    zero = jnp.zeros(len(rows), jnp.float32)
    return _bounds(lower, rows, zero + ratio, zero)


def _bounds(
    lower: Float[Array, "b m"],
    rows: Int[Array, " b"],
    ratio: Float[Array, " b"],
    share: Float[Array, " b"],
) -> Bounds:
    lower = jnp.where(jnp.arange(lower.shape[1])[None] == rows[:, None], jnp.inf, lower)
    return Bounds(lower, least_of_groups(lower), ratio, share)


def in_column_chunks(
    function: Callable[[Array], Any], points: Points, columns: Int[Array, " m"]
) -> Any:
    """`function` of all columns, a chunk at a time, so that coordinates take little memory."""
    entries = len(columns) * points.values.shape[1]
    chunks = min(LANE, 2 ** math.ceil(math.log2(max(1, entries / _CHUNK_ENTRIES))))
    chunks = chunks if len(columns) % chunks == 0 else 1
    results = lax.map(function, columns.reshape(chunks, -1))
    return jax.tree.map(lambda result: result.reshape(-1), results)


def upper_bounds(
    points: Points,
    rows: Int[EitherArray, " b"],
    bounds: Bounds,
    at: tuple[Int[EitherArray, "v 1"], Int[EitherArray, "v w"]] | None = None,
) -> Float[EitherArray, "b m"]:
    """The upper bounds of a block, or of its entries `at` (rows of the block, columns).

    Every product here is exact, so that a compiler that fuses it with a sum
    changes nothing, and an entry has the same bits as in the block.
    """
    coarse = _round_up(_column_norms(points))
    own = bounds.share * _round_up(points.norms[rows])
    row, column = (jnp.arange(len(rows))[:, None], (None, slice(None))) if at is None else at
    lower = bounds.lower if at is None else bounds.lower[at]
    return lower * (1 + bounds.ratio[row]) + bounds.share[row] * coarse[column] + own[row]


def pair_distances(
    x: Points, i: Int[EitherArray, "*#batch"], y: Points, j: Int[EitherArray, "*#batch"]
) -> Float[EitherArray, "*batch"]:
    """Squared distances of points i of `x` to points j of `y`, by differences."""
    difference = rows_of(x.values, i) - rows_of(y.values, j)
    if x.rest is not None and y.rest is not None:
        difference = difference + (rows_of(x.rest, i) - rows_of(y.rest, j))
    squared = sum_of_squares(difference)
    # As in a program: smaller ones have too few bits to be compared.
    return np.where(squared < _SMALLEST, 0, squared) if numpy_of(squared) is np else squared


def rounding(points: Points) -> Float[EitherArray, ""]:
    """Bound on the rounding of `pair_distances` within a cloud, relative to their value."""
    most = difference_rounding(points.values.shape[1])
    return numpy_of(points.on_grid).where(points.on_grid, 0.0, most)


def difference_rounding(features: int) -> float:
    """`rounding` of any cloud."""
    return (most_additions(features) + 4) * UNIT


def _product_rounding(features: int) -> float:
    """Worst case of |a|^2 + |b|^2 - 2 ab, relative to |a|^2 + |b|^2."""
    # The norms are sums of squares; centering and the three terms add a few units.
    size = _run_length(features)
    return (size + features / size + most_additions(features) + 16) * UNIT


def _column_norms(points: Points) -> Float[EitherArray, " m"]:
    """Squared norms, with absent points out of reach."""
    return numpy_of(points.norms).where(points.present, points.norms, np.float32(FAR))


def _around(
    points: Points, distances: Float[Array, "b m"]
) -> tuple[Float[Array, "b m"], Float[Array, ""]]:
    """Lower bounds on distances by differences, and the ratio that reaches their upper ones."""
    margin = rounding(points)
    return jnp.where(points.present[None], distances * (1 - margin), FAR), 2.5 * margin


def _narrow_distances(x: Points, rows: Int[Array, " b"], y: Points) -> Float[Array, "b m"]:
    """Distances by differences, feature after feature."""
    total = jnp.zeros((len(rows), len(y.norms)), jnp.float32)
    for f in range(x.values.shape[1]):
        difference = x.values[rows, None, f] - y.values[None, :, f]
        if x.rest is not None and y.rest is not None:
            difference = difference + (x.rest[rows, None, f] - y.rest[None, :, f])
        total = total + difference**2
    return total


def _round_up(norms: Float[EitherArray, " m"]) -> Float[EitherArray, " m"]:
    """The next number of 12 significant bits: its products with another are exact."""
    return from_bits((as_bits(norms) + np.uint32(0xFFF)) & np.uint32(0xFFFFF000))


def _few_bits(share: float) -> float:
    """The next number of 12 significant bits."""
    mantissa, exponent = math.frexp(share)
    return math.ldexp(math.ceil(mantissa * 2**12), exponent - 12)


def _product(a: Float[Array, "b d"], b: Float[Array, "n d"]) -> Float[Array, "b n"]:
    """Inner products in float32, summed in runs of features so that rounding is bounded."""
    dot = partial(jnp.einsum, "bd,nd->bn", precision=lax.Precision.HIGHEST)
    size = _run_length(a.shape[1])
    total = dot(a[:, :size], b[:, :size])
    for start in range(size, a.shape[1], size):
        total = total + dot(a[:, start : start + size], b[:, start : start + size])
    return total


def _run_length(features: int) -> int:
    """The largest length up to `_RUN` that splits the features evenly."""
    return math.ceil(features / math.ceil(features / _RUN))
