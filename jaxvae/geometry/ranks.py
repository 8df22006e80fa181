"""Where the neighbors of one space stand in another."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from jaxvae.geometry.clouds import Cloud, as_cloud
from jaxvae.geometry.counting import count_block, mid_ranks
from jaxvae.geometry.distances import distance_bounds
from jaxvae.geometry.finding import find
from jaxvae.geometry.neighbors import check_k, search
from jaxvae.geometry.points import Points
from jaxvae.geometry.rows import Progress, over_rows
from jaxvae.geometry.tiles import Tiles, rank_tiles
from jaxvae.typing import ArrayLike


def conditional_ranks(
    space: ArrayLike,
    indices: Int[Array, "n k"],
    *,
    block: int | None = None,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> Float[Array, "n k"]:
    """Rank in `space` of the given neighbors of every point, 1 being the nearest.

    The rank is one plus the number of strictly closer points, plus half of the
    other points at exactly the same distance; the point itself does not count.
    Found by counting, without a sort; comparisons that the rounding of the
    product leaves open are decided by differences, and those that float32
    leaves open beyond the precision of float64.

    Args:
        space: `[n, ...]` points; trailing axes are flattened.
        indices: `[n, k]`, for every point the indices of others, such as its
            neighbors in another space.
        block: rows at a time; the default keeps a block of distances small.
        mesh: devices to split the rows over; all its axes are used.
        progress: called as `progress(rows done, n)` after every few blocks.

    Returns:
        `[n, k]`, between 1 and n - 1; half-integers where there are ties. In a
        constant space every rank is n / 2.

    Raises:
        ValueError: for indices that are not `[n, k]` integers between 0 and
            n - 1 or name the point itself, and NaN or infinite input.
    """
    cloud = as_cloud(space)
    indices = _checked_indices(jnp.asarray(indices), cloud.n)
    return _ranks(cloud, indices, block=block, mesh=mesh, progress=progress)


def mutual_ranks(
    clouds: Sequence[Cloud],
    *,
    k: int,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> Float[Array, "n l l"]:
    """Mean rank in space j of the first k neighbors in space i, for every point, at `[:, i, j]`.

    Each space's distances are formed once: a block of them gives the neighbors
    in that space, then the ranks of the neighbors in all spaces. (Twice for
    spaces in tiles, of which no block is at hand again.)

    Raises:
        ValueError: for different n, and k outside 1 to n - 1.
    """
    n = _common_length(clouds)
    check_k(k, n)
    if any(isinstance(cloud, Tiles) for cloud in clouds):
        found = [search(c, k=k, mesh=mesh, progress=progress).indices for c in clouds]
        targets = jnp.concatenate(found, axis=1)
        ranks = [_ranks(c, targets, mesh=mesh, progress=progress) for c in clouds]
        return _mean_over_neighbors(ranks, k)
    points = tuple(cloud for cloud in clouds if isinstance(cloud, Points))
    columns = len(points) * points[0].columns
    return over_rows(_mutual_block, points, n, columns=columns, mesh=mesh, progress=progress, k=k)


def _ranks(
    cloud: Cloud,
    indices: Int[Array, "n k"],
    *,
    block: int | None = None,
    mesh: Mesh | None,
    progress: Progress | None,
) -> Float[Array, "n k"]:
    if isinstance(cloud, Tiles):
        return rank_tiles(cloud, np.asarray(indices), progress=progress)
    return over_rows(
        _rank_block,
        (cloud, indices),
        cloud.n,
        columns=cloud.columns,
        block=block,
        mesh=mesh,
        progress=progress,
    )


@jax.jit
def _rank_block(
    operands: tuple[Points, Int[Array, "n k"]], rows: Int[Array, " b"]
) -> Float[Array, "b k"]:
    points, targets = operands
    return count_block(points, rows, targets[rows])


def _mutual_block(
    clouds: tuple[Points, ...], rows: Int[Array, " b"], *, k: int
) -> Float[Array, "b l l"]:
    # Not one program: spaces of one width share their compiled parts.
    bounds = [distance_bounds(cloud, rows) for cloud in clouds]
    found = [find(c, rows, b.lower, k)[1] for c, b in zip(clouds, bounds, strict=True)]
    targets = jnp.concatenate(found, axis=1)
    ranks = [mid_ranks(c, rows, b, targets) for c, b in zip(clouds, bounds, strict=True)]
    return _mean_over_neighbors(ranks, k)


@partial(jax.jit, static_argnames="k")
def _mean_over_neighbors(ranks: Sequence[Float[Array, "b lk"]], k: int) -> Float[Array, "b l l"]:
    """From the ranks in each space of k neighbors from every space."""
    stacked = jnp.stack(ranks, axis=2)
    return stacked.reshape(len(stacked), -1, k, len(ranks)).mean(axis=2)


def _common_length(clouds: Sequence[Cloud]) -> int:
    lengths = [cloud.n for cloud in clouds]
    if len(set(lengths)) != 1:
        raise ValueError(f"expected the same number of points in every space, got {lengths}")
    return lengths[0]


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
