"""Where the neighbors of one space stand in another."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from jaxvae.geometry.arrays import as_array
from jaxvae.geometry.clouds import Cloud, Whole, as_cloud
from jaxvae.geometry.counting import count, count_traced, count_within
from jaxvae.geometry.distances import distance_bounds
from jaxvae.geometry.finding import propose_within, settle
from jaxvae.geometry.neighbors import checked_k, search
from jaxvae.geometry.points import Points, numpy_of
from jaxvae.geometry.rows import (
    Progress,
    Space,
    as_space,
    block_length,
    blocks,
    joined,
    on_host,
    traced_rows,
)
from jaxvae.geometry.tiles import Tiles, rank_tiles
from jaxvae.typing import ArrayLike, EitherArray


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
    indices = _checked_indices(indices, cloud.n)
    ranks = _ranks(cloud, indices, block=block, mesh=mesh, progress=progress)
    return jnp.asarray(ranks, jnp.float32)


def mutual_ranks(
    clouds: Sequence[Cloud],
    *,
    k: int,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> Float[EitherArray, "n l l"]:
    """Mean rank in space j of the first k neighbors in space i, for every point, at `[:, i, j]`.

    Each space's distances are formed once: a block of them gives the neighbors
    in that space, then the ranks of the neighbors in all spaces. (Twice for
    spaces in tiles, of which no block is at hand again.)

    Raises:
        ValueError: for different n, and k outside 1 to n - 1.
    """
    n = common_length(clouds)
    k = checked_k(k, n)
    whole = [cloud.points for cloud in clouds if isinstance(cloud, Whole) and not cloud.is_traced]
    if len(whole) < len(clouds):
        found = [search(c, k=k, mesh=mesh, progress=progress).indices for c in clouds]
        targets = jnp.concatenate([jnp.asarray(indices) for indices in found], axis=1)
        ranks = [_ranks(c, targets, mesh=mesh, progress=progress) for c in clouds]
        return _mean_over_neighbors(ranks, k)
    spaces = [as_space(points, mesh) for points in whole]
    rows = blocks(n, columns=len(whole[0].norms), mesh=mesh, progress=progress)
    return joined([_mutual_block(spaces, some, k) for some in rows], n)


def _ranks(
    cloud: Cloud,
    indices: Int[EitherArray, "n k"],
    *,
    block: int | None = None,
    mesh: Mesh | None,
    progress: Progress | None,
) -> Float[EitherArray, "n k"]:
    if isinstance(cloud, Tiles):
        return rank_tiles(cloud, np.asarray(indices), progress=progress)
    points = cloud.points
    if cloud.is_traced or isinstance(indices, jax.core.Tracer):
        length = block_length(len(points.norms))
        return traced_rows(_traced_block, (points, indices), cloud.n, length=length)
    space, targets = as_space(points, mesh), np.asarray(indices, np.int32)
    rows = blocks(cloud.n, columns=len(points.norms), block=block, mesh=mesh, progress=progress)
    return joined([count(space, some, targets[some]) for some in rows], cloud.n)


def _traced_block(
    operands: tuple[Points, Int[Array, "n k"]], rows: Int[Array, " b"]
) -> Float[Array, "b k"]:
    points, targets = operands
    return count_traced(points, rows, targets[rows])


def _mutual_block(
    spaces: Sequence[Space], rows: Int[np.ndarray, " b"], k: int
) -> Float[EitherArray, "b l l"]:
    bounds = [space.run(distance_bounds, rows) for space in spaces]
    proposals = [
        propose_within(space, rows, of_space.lower, k)
        for space, of_space in zip(spaces, bounds, strict=True)
    ]
    targets = np.concatenate(
        [
            settle(space, rows, on_host(proposal, space), k)[1]
            for space, proposal in zip(spaces, proposals, strict=True)
        ],
        axis=1,
    )
    ranks = [count_within(s, rows, b, targets) for s, b in zip(spaces, bounds, strict=True)]
    return _mean_over_neighbors(ranks, k)


def _mean_over_neighbors(
    ranks: Sequence[Float[EitherArray, "b lk"]], k: int
) -> Float[EitherArray, "b l l"]:
    """From the ranks in each space of k neighbors from every space."""
    stacked = numpy_of(ranks[0]).stack(ranks, axis=2)
    return stacked.reshape(len(stacked), -1, k, len(ranks)).mean(axis=2)


def common_length(clouds: Sequence[Cloud]) -> int:
    """The number of points that all clouds share.

    Raises:
        ValueError: where they differ.
    """
    lengths = [cloud.n for cloud in clouds]
    if len(set(lengths)) != 1:
        raise ValueError(f"expected the same number of points in every space, got {lengths}")
    return lengths[0]


def _checked_indices(indices: Int[EitherArray, "n k"], n: int) -> Int[EitherArray, "n k"]:
    indices = as_array(indices)
    if not isinstance(indices, jax.core.Tracer):
        indices = np.asarray(indices)
    if indices.ndim != 2 or len(indices) != n or not jnp.issubdtype(indices.dtype, jnp.integer):
        raise ValueError(
            f"expected integer indices [n = {n}, k], got {indices.dtype} {indices.shape}"
        )
    if not isinstance(indices, jax.core.Tracer):
        if not ((indices >= 0) & (indices < n)).all():
            raise ValueError(f"expected indices from 0 to n - 1 = {n - 1}, got others")
        if (indices == np.arange(n)[:, None]).any():
            raise ValueError("expected indices of other points, got a point as its own neighbor")
    return indices
