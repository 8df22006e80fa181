"""Squared Euclidean distances: by products where these can be trusted, else by differences.

The product form `|a|^2 + |b|^2 - 2 ab` runs at the speed of the hardware but
cancels for close points. Its rounding is bounded (`Points.slack`), so it gives a
lower and an upper bound on every distance; whatever the bounds leave open is
decided by differences of the original coordinates. Work is done on blocks of
rows against all points: memory grows as `block * n`, never as `n * n`.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxvae.geometry.points import (
    NARROW_FEATURES,
    PRODUCT_FEATURES,
    Points,
    as_points,
    sum_of_squares,
)
from jaxvae.typing import ArrayLike

# Below this share of |a|^2 + |b|^2 a distance is taken by differences.
_CANCELLED_SHARE = 2.0**-6
# A row with more doubtful entries than this is redone whole.
_VISITS = 16
_BLOCK_ENTRIES = 2**22
_LARGEST_BLOCK = 1024

Result = TypeVar("Result")


class Bounds(NamedTuple):
    """Bounds on squared distances, equal where these are exact.

    Attributes:
        lower: `[b, n]`.
        upper: `[b, n]`.
    """

    lower: Float[Array, "b n"]
    upper: Float[Array, "b n"]


def squared_distances(x: ArrayLike, y: ArrayLike) -> Float[Array, "n m"]:
    """Squared Euclidean distance of every row of `x` to every row of `y`.

    Computed from products of centered points; pairs so close that the product
    cancels are recomputed by differences. The relative error is about 1e-6 for
    ordinary clouds, and equal rows are at distance exactly zero.

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
    first, second = as_points(x, y)
    return refuse_overflow(_squared_distances(first, second), "squared distances")


@jax.jit
def _squared_distances(x: Points, y: Points) -> Float[Array, "n m"]:
    def block(rows: Int[Array, " b"]) -> Float[Array, "b m"]:
        bounds = distance_bounds(x, rows, y)
        middle = (bounds.lower + bounds.upper) / 2
        scale = x.norms[rows, None] + y.norms
        close = (bounds.lower < bounds.upper) & (middle < _CANCELLED_SHARE * scale)

        def revise(
            distances: Float[Array, "b m"], columns: Int[Array, " b"], open_: Array
        ) -> Array:
            exact = pair_distances(x.values[rows], y.values[columns])
            kept = distances[jnp.arange(len(rows)), columns]
            return distances.at[jnp.arange(len(rows)), columns].set(jnp.where(open_, exact, kept))

        middle, left = visit(close, revise, middle)
        return redo_rows(left, lambda row: pair_distances(x.values[rows[row]], y.values), middle)

    distances = by_blocks(block, len(x.norms), len(y.norms), None)
    return jnp.ldexp(distances, 2 * x.exponent)


def refuse_overflow(distances: Float[Array, "..."], quantity: str) -> Float[Array, "..."]:
    """The distances, where these are finite."""
    if not isinstance(distances, jax.core.Tracer) and not jnp.isfinite(distances).all():
        raise ValueError(
            f"expected {quantity} below the largest float32 (3.4e38), got larger ones; "
            "divide the input by a constant"
        )
    return distances


def distance_bounds(x: Points, rows: Int[Array, " b"], y: Points) -> Bounds:
    """Bounds on the squared distances of some rows of `x` to all of `y`."""
    if x.values.shape[1] <= NARROW_FEATURES:
        distances = sum(
            (x.values[rows, None, f] - y.values[None, :, f]) ** 2 for f in range(x.values.shape[1])
        )
        margin = jnp.maximum(x.slack, y.slack) * distances
    else:
        scale = x.norms[rows, None] + y.norms
        distances = scale - 2 * _product(x.centered[rows], y.centered)
        margin = jnp.maximum(x.slack, y.slack) * scale
    return Bounds(jnp.maximum(distances - margin, 0), distances + margin)


def pair_distances(
    a: Float[Array, "*batch d"], b: Float[Array, "*batch d"]
) -> Float[Array, "*batch"]:
    """Squared distances of matching rows, or of one row to many, by differences."""
    return sum_of_squares(a - b)


def by_blocks(
    function: Callable[[Int[Array, " b"]], Result], n: int, m: int, block: int | None
) -> Result:
    """Concatenate `function(rows)` over blocks of the rows 0 to n - 1.

    Args:
        function: row indices `[b]` -> tree of arrays `[b, ...]`.
        n: number of rows.
        m: number of columns a row is compared with; sets the default block.
        block: rows at a time, or None for what fits a fixed amount of memory.
    """
    largest = max(8, min(_LARGEST_BLOCK, _BLOCK_ENTRIES // m)) if block is None else block
    if largest < 1:
        raise ValueError(f"expected block >= 1, got {block}")
    count = -(-n // largest)
    size = -(-n // count)
    rows = jnp.minimum(jnp.arange(count * size), n - 1).reshape(count, size)
    results = lax.map(function, rows)
    return jax.tree.map(lambda r: r.reshape(count * size, *r.shape[2:])[:n], results)


def visit(
    doubtful: Bool[Array, "b n"],
    action: Callable[[Result, Int[Array, " b"], Bool[Array, " b"]], Result],
    state: Result,
) -> tuple[Result, Bool[Array, " b"]]:
    """Fold `action` over the doubtful columns of every row, one per row at a time.

    Args:
        doubtful: the entries to visit.
        action: `(state, columns, found)` -> state, where `found` says which rows
            had a column left to visit.
        state: where the fold starts.

    Returns:
        The state, and the rows that had too many columns to visit them all.
    """
    n = doubtful.shape[1]
    columns = jnp.arange(n)

    def next_column(after: Int[Array, " b"]) -> Int[Array, " b"]:
        return jnp.min(jnp.where(doubtful & (columns > after[:, None]), columns, n), axis=1)

    def body(carry: tuple[Result, Int[Array, " b"], int]) -> tuple[Result, Int[Array, " b"], int]:
        state, at, step = carry
        return action(state, jnp.minimum(at, n - 1), at < n), next_column(at), step + 1

    def unfinished(carry: tuple[Result, Int[Array, " b"], int]) -> Bool[Array, ""]:
        return jnp.any(carry[1] < n) & (carry[2] < _VISITS)

    first = next_column(jnp.full(len(doubtful), -1))
    state, at, _ = lax.while_loop(unfinished, body, (state, first, 0))
    return state, at < n


def redo_rows(
    doubtful: Bool[Array, " b"], redo: Callable[[Int[Array, ""]], Result], results: Result
) -> Result:
    """Replace the doubtful rows of `results` (a tree of `[b, ...]`) by `redo(row)`."""

    def body(carry: tuple[Bool[Array, " b"], Result]) -> tuple[Bool[Array, " b"], Result]:
        doubtful, results = carry
        row = jnp.argmax(doubtful)
        results = jax.tree.map(lambda old, new: old.at[row].set(new), results, redo(row))
        return doubtful.at[row].set(False), results

    return lax.while_loop(lambda carry: jnp.any(carry[0]), body, (doubtful, results))[1]


def _product(a: Float[Array, "b d"], b: Float[Array, "n d"]) -> Float[Array, "b n"]:
    """Inner products in float32, summed in runs of features so that rounding is bounded."""
    dot = partial(jnp.einsum, "bd,nd->bn", precision=lax.Precision.HIGHEST)
    total = dot(a[:, :PRODUCT_FEATURES], b[:, :PRODUCT_FEATURES])
    for start in range(PRODUCT_FEATURES, a.shape[1], PRODUCT_FEATURES):
        run = slice(start, start + PRODUCT_FEATURES)
        total = total + dot(a[:, run], b[:, run])
    return total
