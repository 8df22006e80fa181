"""Exact nearest neighbors without an n x n matrix."""

from typing import NamedTuple

import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from jaxvae.geometry.clouds import Cloud, as_cloud
from jaxvae.geometry.distances import refuse_overflow
from jaxvae.geometry.finding import find_block
from jaxvae.geometry.rows import Progress, over_rows
from jaxvae.geometry.tiles import Tiles, search_tiles
from jaxvae.typing import ArrayLike


class Neighbors(NamedTuple):
    """The nearest other points of every point.

    Attributes:
        indices: int32 `[n, k]`, nearest first; ties by lowest index.
        distances: `[n, k]`, Euclidean, in units of the input.
    """

    indices: Int[Array, "n k"]
    distances: Float[Array, "n k"]


def nearest_neighbors(
    x: ArrayLike,
    *,
    k: int,
    block: int | None = None,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> Neighbors:
    """The k nearest other points of every point, exactly.

    Candidates come from matrix products; their distances are recomputed by
    differences, and the rounding bound of the product certifies that no other
    point is closer. Rows that this cannot certify (tight clusters far apart,
    distances that differ by less than float32 resolves) are searched again by
    differences, beyond the precision of float64 where that decides. A point is
    never its own neighbor, also where rows are repeated.

    Args:
        x: `[n, ...]` points of any real type; trailing axes are flattened.
        k: number of neighbors, 1 to n - 1.
        block: rows at a time; the default keeps a block of distances small.
        mesh: devices to split the rows over; all its axes are used.
        progress: called as `progress(rows done, n)` after every few blocks.

    Returns:
        `Neighbors`, sorted by distance, ties by lowest index. Repeated rows are
        neighbors at distance zero.

    Raises:
        ValueError: for k outside 1 to n - 1, NaN or infinite input, and distances
            above the largest float32.
    """
    found = search(as_cloud(x), k=k, block=block, mesh=mesh, progress=progress)
    distances = jnp.ldexp(jnp.sqrt(found.squared), found.exponent)
    return Neighbors(found.indices, refuse_overflow(distances, "distances"))


def check_k(k: int, n: int) -> None:
    """Refuse a number of neighbors that n points do not have.

    Raises:
        ValueError: for k that is not a whole number from 1 to n - 1.
    """
    if not isinstance(k, int) or not 1 <= k < n:
        raise ValueError(f"expected 1 <= k < n = {n}, got k = {k}")


class Found(NamedTuple):
    """What a search finds, k present points for each row.

    Attributes:
        squared: `[n, k]`, squared distances in units of `4**exponent`, infinite where
            fewer than k others are present.
        indices: `[n, k]`.
        exponent: `[]`.
    """

    squared: Float[Array, "n k"]
    indices: Int[Array, "n k"]
    exponent: Int[Array, ""]


def search(
    cloud: Cloud,
    *,
    k: int,
    block: int | None = None,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> Found:
    """The k nearest present points of every point, present or not.

    Raises:
        ValueError: for k outside 1 to n - 1.
    """
    check_k(k, cloud.n)
    if isinstance(cloud, Tiles):
        squared, indices, exponent = search_tiles(cloud, k=k, progress=progress)
        return Found(squared, indices, jnp.int32(exponent))
    squared, indices = over_rows(
        find_block,
        cloud,
        cloud.n,
        columns=cloud.columns,
        block=block,
        mesh=mesh,
        progress=progress,
        k=k,
    )
    return Found(squared, indices, cloud.exponent)
