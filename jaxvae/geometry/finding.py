"""The nearest points, given bounds on a block of distances."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxvae.geometry.distances import (
    FAR,
    UNIT,
    distance_bounds,
    in_tiles,
    pair_distances,
    rounding,
    row_bounds,
)
from jaxvae.geometry.points import Points
from jaxvae.geometry.precise import Expansion, less, precise_distances
from jaxvae.geometry.rows import redo_rows
from jaxvae.geometry.selection import smallest

# Spare candidates: an ordinary row is then certified without a second look.
_SPARE = 6
# Distances that are made precise at a time.
_PRECISE = 128
_BUT_LAST, _BUT_FIRST = slice(None, -1), slice(1, None)


@partial(jax.jit, static_argnames="k")
def find_block(
    points: Points, rows: Int[Array, " b"], *, k: int
) -> tuple[Float[Array, "b k"], Int[Array, "b k"]]:
    """Squared distances and indices of the k present points that are nearest to each row."""
    return find(points, rows, distance_bounds(points, rows).lower, k)


@partial(jax.jit, static_argnames="k")
def find(
    points: Points, rows: Int[Array, " b"], lower: Float[Array, "b m"], k: int
) -> tuple[Float[Array, "b k"], Int[Array, "b k"]]:
    """Squared distances and indices of the k nearest, given lower bounds on all distances."""
    bounds, found = smallest(lower, min(points.columns, k + _SPARE))
    distances = lax.map(lambda column: pair_distances(points, rows, points, column), found.T).T
    distances = jnp.where(_present(bounds), distances, jnp.inf)
    distances, found = _in_order(points, rows, *lax.sort((distances, found), num_keys=2))
    known = _no_other(distances[:, k - 1] * (1 + 2 * rounding(points)), bounds)
    return redo_rows(
        ~known,
        lambda row: _find_by_differences(points, rows[row], k),
        (distances[:, :k], found[:, :k]),
    )


def _in_order(
    points: Points, rows: Int[Array, " b"], distances: Float[Array, "b c"], found: Int[Array, "b c"]
) -> tuple[Float[Array, "b c"], Int[Array, "b c"]]:
    """Sorted candidates, where float32 may have confused neighboring ones sorted again."""
    before, after = distances[:, :-1], distances[:, 1:]
    # On a grid float32 does not round, and at distance zero there is nothing to round.
    touching = (after <= before * (1 + 2 * rounding(points))) & (after > 0) & ~points.on_grid
    touching = jnp.pad(touching & _present(after), ((0, 0), (1, 1)))
    close = touching[:, :-1] | touching[:, 1:]

    def again() -> tuple[Float[Array, "b c"], Int[Array, "b c"]]:
        return _sort(_refined(points, rows, close, distances, found), found)

    return lax.cond(jnp.any(close), again, lambda: (distances, found))


def _refined(
    points: Points,
    rows: Int[Array, " b"],
    close: Bool[Array, "b c"],
    distances: Float[Array, "b c"],
    found: Int[Array, "b c"],
) -> Expansion:
    """The distances, precise where these are close to another."""
    columns, width, size = found.reshape(-1), found.shape[1], found.size

    def body(carry: tuple[Array, Expansion]) -> tuple[Array, Expansion]:
        close, parts = carry
        (at,) = jnp.nonzero(close, size=_PRECISE, fill_value=size)
        place = jnp.minimum(at, size - 1)
        exact = precise_distances(points, rows[place // width], points, columns[place])
        filled = (p.at[at].set(e, mode="drop") for p, e in zip(parts, exact, strict=True))
        return close.at[at].set(False, mode="drop"), Expansion(*filled)

    zero = jnp.zeros(size)
    start = close.reshape(-1), Expansion(distances.reshape(-1), zero, zero)
    parts = lax.while_loop(lambda carry: jnp.any(carry[0]), body, start)[1]
    return Expansion(*(part.reshape(found.shape) for part in parts))


def _sort(
    distances: Expansion, columns: Int[Array, "*b c"]
) -> tuple[Float[Array, "*b c"], Int[Array, "*b c"]]:
    """By distance; what float64 could not order is tied, and goes by lowest column."""
    *parts, columns = lax.sort((*distances, columns), num_keys=4)
    before, after = (Expansion(*(p[..., side] for p in parts)) for side in (_BUT_LAST, _BUT_FIRST))
    place = jnp.cumsum(less(before, after), axis=-1, dtype=jnp.int32)
    place = jnp.concatenate([jnp.zeros_like(place[..., :1]), place], axis=-1)
    _, columns, squared = lax.sort((place, columns, parts[0]), num_keys=2)
    return squared, columns


def _find_by_differences(
    points: Points, row: Int[Array, ""], k: int
) -> tuple[Float[Array, " k"], Int[Array, " k"]]:
    """`find` for one row without products."""
    lower = row_bounds(points, row).lower
    (bounds,), (found,) = smallest(lower[None], min(points.columns, k + _SPARE))

    def nearest_of(columns: Int[Array, " c"], bounds: Float[Array, " c"]) -> tuple[Array, Array]:
        exact = in_tiles(lambda some: precise_distances(points, row, points, some), points, columns)
        exact = exact._replace(first=jnp.where(_present(bounds), exact.first, jnp.inf))
        squared, columns = _sort(exact, columns)
        return squared[:k], columns[:k]

    squared, indices = nearest_of(found, bounds)
    return lax.cond(
        _no_other(squared[-1] * (1 + 4 * UNIT), bounds),
        lambda: (squared, indices),
        lambda: nearest_of(jnp.arange(points.columns, dtype=found.dtype), lower),
    )


def _no_other(reach: Float[Array, "*b"], bounds: Float[Array, "*b c"]) -> Bool[Array, "*b"]:
    """Whether all points but the candidates are certainly farther than `reach`."""
    # Every rejected point is at least as far as the last candidate's lower bound.
    last = jnp.max(bounds, axis=-1)
    return (reach <= last) | ~_present(last)


def _present(squared: Float[Array, "*s"]) -> Bool[Array, "*s"]:
    """Whether a squared distance is to a point that is present, and not to itself."""
    return squared < FAR / 2
