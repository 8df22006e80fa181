"""The nearest points, given bounds on a block of distances."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxvae.geometry.distances import (
    LONG_RUN,
    UNIT,
    distance_bounds,
    in_tiles,
    pair_distances,
    rounding,
    row_bounds,
)
from jaxvae.geometry.points import FAR, Points
from jaxvae.geometry.precise import Expansion, less, precise_distances
from jaxvae.geometry.rows import redo_rows
from jaxvae.geometry.selection import smallest

# Spare candidates: an ordinary row is then certified without a second look.
_SPARE = 6
_BUT_LAST, _BUT_FIRST = slice(None, -1), slice(1, None)


@partial(jax.jit, static_argnames="k")
def find_block(
    points: Points, rows: Int[Array, " b"], *, k: int
) -> tuple[Float[Array, "b k"], Int[Array, "b k"]]:
    """Squared distances and indices of the k present points that are nearest to each row."""
    return find(points, rows, distance_bounds(points, rows, run=LONG_RUN).lower, k)


@partial(jax.jit, static_argnames="k")
def find(
    points: Points, rows: Int[Array, " b"], lower: Float[Array, "b n"], k: int
) -> tuple[Float[Array, "b k"], Int[Array, "b k"]]:
    """Squared distances and indices of the k nearest, given lower bounds on all distances."""
    bounds, found = smallest(lower, min(len(points.norms), k + _SPARE))
    distances = lax.map(lambda column: pair_distances(points, rows, points, column), found.T).T
    distances = jnp.where(_present(bounds), distances, jnp.inf)
    distances, found = lax.sort((distances, found), num_keys=2)
    nearest, following = distances[:, :k], distances[:, 1 : k + 1]
    margin = 2 * rounding(points)
    reach = nearest * (1 + margin)
    # Float32 orders what is farther apart than it rounds; on a grid it does not round.
    ordered = (following > reach) | (following == 0) | ~_present(following) | (margin == 0)
    known = _no_other(reach[:, -1], bounds)

    def precisely(row: Int[Array, ""]) -> tuple[Float[Array, " k"], Int[Array, " k"]]:
        candidates = found[row], distances[row], known[row]
        return _find_precisely(points, rows[row], candidates, k)

    certain = known & jnp.all(ordered, axis=1)
    return redo_rows(~certain, precisely, (nearest, found[:, :k]))


def _find_precisely(
    points: Points, row: Int[Array, ""], candidates: tuple[Array, Array, Array], k: int
) -> tuple[Float[Array, " k"], Int[Array, " k"]]:
    """`find` for one row: the candidates in order, or, where unknown, by differences."""
    columns, distances, known = candidates
    lower = lax.cond(
        known, lambda: jnp.full(points.n, jnp.inf), lambda: row_bounds(points, row).lower
    )
    (bounds,), (found,) = smallest(lower[None], len(columns))
    columns, bounds = jnp.where(known, columns, found), jnp.where(known, distances, bounds)
    squared, indices = _sort_precisely(points, row, columns, bounds, k)
    return lax.cond(
        known | _no_other(squared[-1] * (1 + 4 * UNIT), bounds),
        lambda: (squared, indices),
        lambda: _sort_precisely(points, row, jnp.arange(points.n, dtype=found.dtype), lower, k),
    )


def _sort_precisely(
    points: Points,
    row: Int[Array, ""],
    columns: Int[Array, " c"],
    bounds: Float[Array, " c"],
    k: int,
) -> tuple[Float[Array, " k"], Int[Array, " k"]]:
    """The k nearest of some columns; what float64 could not order is tied."""
    distances = in_tiles(lambda some: precise_distances(points, row, points, some), columns)
    distances = distances._replace(first=jnp.where(_present(bounds), distances.first, jnp.inf))
    *parts, columns = lax.sort((*distances, columns), num_keys=4)
    before, after = (Expansion(*(p[side] for p in parts)) for side in (_BUT_LAST, _BUT_FIRST))
    place = jnp.cumsum(less(before, after), dtype=jnp.int32)
    place = jnp.concatenate([jnp.zeros(1, jnp.int32), place])
    _, columns, squared = lax.sort((place, columns, parts[0]), num_keys=2)
    return squared[:k], columns[:k]


def _no_other(reach: Float[Array, "*b"], bounds: Float[Array, "*b c"]) -> Bool[Array, "*b"]:
    """Whether all points but the candidates are certainly farther than `reach`."""
    # Every rejected point is at least as far as the last candidate's lower bound.
    last = jnp.max(bounds, axis=-1)
    return (reach <= last) | ~_present(last)


def _present(squared: Float[Array, "*s"]) -> Bool[Array, "*s"]:
    """Whether a squared distance is to a point that is present, and not to itself."""
    return squared < FAR / 2
