"""Exact nearest neighbors without an n x n matrix."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxvae.geometry.distances import (
    by_blocks,
    distance_bounds,
    pair_distances,
    redo_rows,
    refuse_overflow,
)
from jaxvae.geometry.points import Points, as_points, difference_rounding
from jaxvae.geometry.selection import GROUP, smallest
from jaxvae.typing import ArrayLike

# Spare candidates: an ordinary row is then certified without a second look.
_SPARE = 6


class Neighbors(NamedTuple):
    """The nearest other points of every point.

    Attributes:
        indices: int32 `[n, k]`, nearest first; ties by lowest index.
        distances: `[n, k]`, Euclidean, in units of the input.
    """

    indices: Int[Array, "n k"]
    distances: Float[Array, "n k"]


def nearest_neighbors(x: ArrayLike, *, k: int, block: int | None = None) -> Neighbors:
    """The k nearest other points of every point, exactly.

    Candidates come from matrix products; their distances are recomputed by
    differences, and the rounding bound of the product certifies that no other
    point is closer. A row that cannot be certified (tight clusters far apart)
    is searched again by differences alone. A point is never its own neighbor,
    also where rows are repeated.

    Args:
        x: `[n, ...]` points of any real type; trailing axes are flattened.
        k: number of neighbors, 1 to n - 1.
        block: rows at a time; the default keeps a block near 32 MiB.

    Returns:
        `Neighbors`, sorted by distance, ties by lowest index. Repeated rows are
        neighbors at distance zero.

    Raises:
        ValueError: for k outside 1 to n - 1, NaN or infinite input, and distances
            above the largest float32.
    """
    (points,) = as_points(x)
    if not 1 <= k < len(points.norms):
        raise ValueError(f"expected 1 <= k < n = {len(points.norms)}, got k = {k}")
    squared, indices = search(points, jnp.ones(len(points.norms), bool), k=k, block=block)
    distances = jnp.ldexp(jnp.sqrt(squared), points.exponent)
    return Neighbors(indices, refuse_overflow(distances, "distances"))


@partial(jax.jit, static_argnames=("k", "block"))
def search(
    points: Points, present: Bool[Array, " n"], *, k: int, block: int | None = None
) -> tuple[Float[Array, "n k"], Int[Array, "n k"]]:
    """Squared distances (of `points.values`) and indices of the k nearest present points.

    Rows that are not present are searched for but never found; distances are
    infinite where fewer than k others are present.
    """
    n = len(points.norms)
    points, present = _pad(points, present)
    columns = jnp.arange(len(present))
    margin = 1 + 2 * difference_rounding(points)
    candidates = min(n, k + _SPARE)

    def hide(distances: Float[Array, "b m"], rows: Int[Array, " b"]) -> Float[Array, "b m"]:
        return jnp.where(present & (columns != rows[:, None]), distances, jnp.inf)

    def whole(row: Int[Array, ""]) -> tuple[Float[Array, " k"], Int[Array, " k"]]:
        distances = pair_distances(points.values[row], points.values)[None]
        squared, found = smallest(hide(distances, row[None]), k)
        return squared[0], found[0]

    def search_block(rows: Int[Array, " b"]) -> tuple[Float[Array, "b k"], Int[Array, "b k"]]:
        lower = hide(distance_bounds(points, rows, points).lower, rows)
        bounds, found = smallest(lower, candidates)
        distances = pair_distances(points.values[rows, None], points.values[found])
        distances = jnp.where(jnp.isinf(bounds), jnp.inf, distances)
        distances, found = lax.sort((distances, found), num_keys=2)
        # Every rejected point is at least as far as the last candidate's lower bound.
        certain = (distances[:, k - 1] * margin <= jnp.max(bounds, axis=1)) | (candidates == n)
        kept = distances[:, :k], found[:, :k]
        return redo_rows(~certain, lambda row: whole(rows[row]), kept)

    # The coordinates of the candidates are the larger part where k and d are large.
    return by_blocks(search_block, n, max(n, candidates * points.values.shape[1] // 2), block)


def _pad(points: Points, present: Bool[Array, " n"]) -> tuple[Points, Bool[Array, " m"]]:
    """Absent points at the end, so that rows of distances are whole groups."""
    extra = -len(present) % GROUP
    rows = ((0, extra), (0, 0))
    padded = points._replace(
        values=jnp.pad(points.values, rows),
        centered=jnp.pad(points.centered, rows),
        norms=jnp.pad(points.norms, rows[0]),
    )
    return padded, jnp.pad(present, rows[0])
