"""Ranks, in one space, of the neighbors in another."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from jaxvae.geometry.arrays import as_array
from jaxvae.geometry.clouds import Cloud, as_cloud, refuse_tiles
from jaxvae.geometry.counting import count, count_traced
from jaxvae.geometry.host import as_results
from jaxvae.geometry.points import Points
from jaxvae.geometry.rows import (
    Progress,
    as_space,
    checked_block,
    joined,
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
        block: rows at a time; the default keeps a block of distances small. Arrays that are
            read in tiles have blocks of their own.
        mesh: devices to split the rows over; all its axes are used.
            Arrays that are read in tiles use one device.
        progress: called as `progress(rows done, n)` after every few blocks.

    Returns:
        `[n, k]`, between 1 and n - 1; half-integers where there are ties. In a
        constant space every rank is n / 2.

    Raises:
        ValueError: for indices that are not `[n, k >= 1]` integers between 0 and
            n - 1 or name the point itself, a block below 1, and NaN or infinite input; for
            traced indices beside a space too large for the device.
    """
    cloud = as_cloud(space)
    indices = _checked_indices(indices, cloud.n)
    refuse_tiles([cloud], beside=isinstance(indices, jax.core.Tracer))
    ranks = ranks_around(cloud, indices, block=block, mesh=mesh, progress=progress)
    return as_results(ranks)


def ranks_around(
    cloud: Cloud,
    indices: Int[EitherArray, "n k"],
    rows: Int[np.ndarray, " r"] | None = None,
    *,
    block: int | None = None,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> Float[EitherArray, "n k"]:
    """Mid-ranks of indices around all points, or around some."""
    n, rows = len(indices), np.arange(len(indices), dtype=np.int32) if rows is None else rows
    if isinstance(cloud, Tiles):
        if block is not None:
            checked_block(block)
        return rank_tiles(cloud, rows, np.asarray(indices), progress=progress)
    points = cloud.points
    if cloud.is_traced or isinstance(indices, jax.core.Tracer):
        columns = len(points.norms)
        return traced_rows(_traced_block, (points, indices), n, columns=columns, block=block)
    space, targets = as_space(points, mesh), np.asarray(indices, np.int32)
    places = space.blocks(n, block=block, progress=progress)
    return joined([count(space, rows[some], targets[some]) for some in places], n)


def _traced_block(
    operands: tuple[Points, Int[Array, "n k"]], rows: Int[Array, " b"]
) -> Float[Array, "b k"]:
    points, targets = operands
    return count_traced(points, rows, targets[rows])


def _checked_indices(indices: Int[EitherArray, "n k"], n: int) -> Int[EitherArray, "n k"]:
    indices = as_array(indices)
    if not isinstance(indices, jax.core.Tracer):
        indices = np.asarray(indices)
    is_integer = jnp.issubdtype(indices.dtype, jnp.integer)
    if indices.ndim != 2 or len(indices) != n or indices.size == 0 or not is_integer:
        raise ValueError(
            f"expected integer indices [n = {n}, k >= 1], got {indices.dtype} {indices.shape}"
        )
    if not isinstance(indices, jax.core.Tracer):
        if not ((indices >= 0) & (indices < n)).all():
            raise ValueError(
                f"expected indices from 0 to n - 1 = {n - 1}, got indices from {indices.min()} to "
                f"{indices.max()}"
            )
        if (indices == np.arange(n)[:, None]).any():
            raise ValueError("expected indices of other points, got a point as its own neighbor")
    return indices
