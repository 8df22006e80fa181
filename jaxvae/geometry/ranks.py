"""Where the neighbors of one space stand in another."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxvae.geometry.distances import (
    Bounds,
    by_blocks,
    distance_bounds,
    pair_distances,
    redo_rows,
    visit,
)
from jaxvae.geometry.points import Points, as_points, difference_rounding
from jaxvae.typing import ArrayLike


def conditional_ranks(
    space: ArrayLike, indices: Int[Array, "n k"], *, block: int | None = None
) -> Float[Array, "n k"]:
    """Rank in `space` of the given neighbors of every point, 1 being the nearest.

    The rank is one plus the number of strictly closer points, plus half of the
    other points at exactly the same distance; the point itself does not count.
    Found by counting, without a sort; comparisons that the rounding of the
    product leaves open are decided by differences.

    Args:
        space: `[n, ...]` points; trailing axes are flattened.
        indices: `[n, k]`, for every point the indices of others, such as its
            neighbors in another space.
        block: rows at a time; the default keeps a block near 32 MiB.

    Returns:
        `[n, k]`, between 1 and n - 1; half-integers where there are ties. In a
        constant space every rank is n / 2.

    Raises:
        ValueError: for indices that are not `[n, k]` integers between 0 and
            n - 1 or name the point itself, and NaN or infinite input.
    """
    (points,) = as_points(space)
    indices = _checked_indices(jnp.asarray(indices), len(points.norms))
    return count_ranks(points, indices, block=block)


@partial(jax.jit, static_argnames="block")
def count_ranks(
    points: Points, indices: Int[Array, "n k"], *, block: int | None = None
) -> Float[Array, "n k"]:
    """`conditional_ranks` of prepared points and checked indices."""
    n = len(points.norms)
    columns = jnp.arange(n)

    def rank_block(rows: Int[Array, " b"]) -> Float[Array, "b k"]:
        bounds = distance_bounds(points, rows, points)
        others = Bounds(*(jnp.where(columns == rows[:, None], jnp.inf, b) for b in bounds))
        return lax.map(lambda targets: _ranks(points, others, rows, targets), indices[rows].T).T

    return by_blocks(rank_block, n, n, block)


def _ranks(
    points: Points, others: Bounds, rows: Int[Array, " b"], targets: Int[Array, " b"]
) -> Float[Array, " b"]:
    """Mid-rank of one target per row: 1 + closer + (equally far) / 2."""
    margin = 2 * difference_rounding(points)
    threshold = pair_distances(points.values[rows], points.values[targets])[:, None]
    closer = others.upper < threshold * (1 - margin)
    farther = others.lower > threshold * (1 + margin)
    open_ = ~closer & ~farther & (jnp.arange(len(points.norms)) != targets[:, None])
    # On an exact grid a comparison that the bounds leave open is a tie.
    exact = points.slack == 0
    doubled = jnp.sum(2 * closer + (open_ & exact), axis=1)

    def compare(doubled: Int[Array, " b"], at: Int[Array, " b"], found: Array) -> Int[Array, " b"]:
        # Both distances from one computation, so that exact ties compare equal.
        pair = jnp.stack([points.values[targets], points.values[at]])
        target, distance = pair_distances(points.values[rows], pair)
        return doubled + jnp.where(found, _doubled_share(distance, target), 0)

    def whole(row: Int[Array, ""]) -> Int[Array, ""]:
        distances = pair_distances(points.values[rows[row]], points.values)
        share = _doubled_share(distances, distances[targets[row]])
        kept = jnp.isfinite(others.lower[row]) & (jnp.arange(len(distances)) != targets[row])
        return jnp.sum(share * kept)

    visited, left = visit(open_ & ~exact, compare, doubled)
    return 1 + redo_rows(left, whole, visited) / 2


def _doubled_share(distance: Float[Array, "*b"], threshold: Float[Array, "*b"]) -> Int[Array, "*b"]:
    """Twice what a point adds to the rank: 2 if closer, 1 if tied, 0 if farther."""
    return 2 * (distance < threshold) + (distance == threshold)


def _checked_indices(indices: Int[Array, "n k"], n: int) -> Int[Array, "n k"]:
    if indices.ndim != 2 or len(indices) != n or not jnp.issubdtype(indices.dtype, jnp.integer):
        raise ValueError(
            f"expected integer indices [n = {n}, k], got {indices.dtype} {indices.shape}"
        )
    if not isinstance(indices, jax.core.Tracer):
        if not ((indices >= 0) & (indices < n)).all():
            raise ValueError(f"expected indices from 0 to n - 1 = {n - 1}, got others")
        if (indices == jnp.arange(n)[:, None]).any():
            raise ValueError("expected indices of other points, got a point as its own neighbor")
    return indices
