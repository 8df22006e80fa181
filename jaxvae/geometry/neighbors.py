"""Exact nearest neighbors without an n x n matrix."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from jaxvae.files.refusals import as_count
from jaxvae.geometry.clouds import Cloud, Whole, as_cloud
from jaxvae.geometry.distances import refuse_overflow
from jaxvae.geometry.finding import find_in, find_traced, propose, settle
from jaxvae.geometry.host import as_results, numpy_of
from jaxvae.geometry.points import Points, known_values
from jaxvae.geometry.rows import (
    Progress,
    as_space,
    checked_block,
    finished_in_turn,
    joined,
    traced_rows,
)
from jaxvae.geometry.tiles import Tiles, distinct_tiles, search_tiles
from jaxvae.typing import ArrayLike, EitherArray


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
        block: rows at a time; the default keeps a block of distances small. Arrays that are
            read in tiles have blocks of their own.
        mesh: devices to split the rows over; all its axes are used.
            Arrays that are read in tiles use one device.
        progress: called as `progress(rows done, n)` after every few blocks.

    Returns:
        `Neighbors`, sorted by distance, ties by lowest index. Repeated rows are
        neighbors at distance zero.

    Raises:
        ValueError: for k outside 1 to n - 1, a block below 1, NaN or infinite input, and
            distances above the largest float32.
    """
    neighbors = search(as_cloud(x), k=k, block=block, mesh=mesh, progress=progress)
    numpy = numpy_of(neighbors.squared)
    with np.errstate(over="ignore"):  # which is refused below
        distances = numpy.ldexp(numpy.sqrt(neighbors.squared), neighbors.exponent)
    refuse_overflow(distances, "distances")
    return Neighbors(*as_results((neighbors.indices, distances)))


def checked_k(k: int, n: int, *, least: int = 1) -> int:
    """A number of neighbors that n points have, as an `int`.

    Raises:
        ValueError: for k that is not a whole number from `least` to n - 1.
    """
    return as_count(k, f"expected {least} <= k < n = {n}, got k = {k}", least=least, most=n - 1)


class SearchResult(NamedTuple):
    """The result of a search: k present points for each row.

    Attributes:
        squared: `[n, k]`, squared distances in units of `4**exponent`, infinite where
            fewer than k others are present.
        indices: `[n, k]`.
        exponent: `[]`.
    """

    squared: Float[EitherArray, "n k"]
    indices: Int[EitherArray, "n k"]
    exponent: int | Int[EitherArray, ""]


def search(
    cloud: Cloud,
    *,
    k: int,
    block: int | None = None,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
    in_order: bool = True,
) -> SearchResult:
    """The k nearest present points of every point, present or not.

    Args:
        cloud: the points.
        k: how many.
        block: rows at a time; tiles have blocks of their own.
        mesh: devices to split the rows over; tiles use one device.
        progress: called as `progress(rows done, n)`.
        in_order: whether the indices are to be as exact as the distances; else points may
            change places whose distances float32 cannot tell apart.

    Raises:
        ValueError: for k outside 1 to n - 1, and a block that is not a positive integer.
    """
    k = checked_k(k, cloud.n)
    if isinstance(cloud, Tiles):
        if block is not None:
            checked_block(block)
        return SearchResult(*search_tiles(cloud, k=k, progress=progress))
    if cloud.is_traced:
        function, columns = partial(find_traced, k=k), cloud.points.norms.shape[0]
        found = traced_rows(function, cloud.points, cloud.n, columns=columns, block=block)
        return SearchResult(found[0], found[1], cloud.points.exponent)
    space = as_space(cloud.points, mesh)
    places = space.blocks(cloud.n, block=block, progress=progress)
    proposals = finished_in_turn(propose(space, some, k) for some in places)
    proposal = joined([*proposals], cloud.n)
    found = settle(space, np.arange(cloud.n, dtype=np.int32), proposal, k, in_order=in_order)
    return SearchResult(*found, cloud.points.exponent)


def search_distinct(
    cloud: Cloud, *, k: int, mesh: Mesh | None, progress: Progress | None
) -> tuple[SearchResult, Bool[EitherArray, " n"]]:
    """Distances to the k nearest distinct points, and which points are the first of their kind.

    Points that repeat an earlier one are nobody's neighbors. They are looked for among the
    points that have another at distance zero, and only where these are the neighbors of
    others is anything searched again.
    """
    k = checked_k(k, cloud.n)
    if isinstance(cloud, Tiles):
        cloud = distinct_tiles(cloud)
        return search(cloud, k=k, progress=progress), cloud.present
    if cloud.is_traced:
        return _search_distinct_traced(cloud, k)
    found = search(cloud, k=k, mesh=mesh, progress=progress, in_order=False)
    points, n = cloud.points, cloud.n
    if found.squared[:, 0].all():
        # No two points coincide; on an accelerator their coordinates stay there.
        return found, np.ones(n, bool)
    present = points.present & ~_repeated(known_values(points), found)
    (again,) = np.nonzero(present[:n] & ~present[found.indices].all(axis=1))
    if len(again):
        space = as_space(points._replace(present=present), None)
        found.squared[again], found.indices[again] = find_in(
            space, again.astype(np.int32), k=k, length=space.length, in_order=False
        )
    return found, present[:n]


def _search_distinct_traced(cloud: Whole, k: int) -> tuple[SearchResult, Bool[EitherArray, " n"]]:
    """A second search, without those that the first shows to be repetitions, if there are any."""

    def without(present: Bool[Array, " m"]) -> tuple[SearchResult, Bool[Array, " m"]]:
        points = cloud.points._replace(present=present)
        found = search(Whole(points, cloud.n), k=k)
        return found, present & ~_repeated(points, found)

    def again(carry: tuple[Array, SearchResult, Array]) -> tuple[Array, SearchResult, Array]:
        return carry[2], *without(carry[2])

    first = cloud.points.present
    nothing = jax.tree.map(jnp.zeros_like, jax.eval_shape(without, first)[0])
    start = jnp.zeros_like(first), nothing, first
    _, found, present = lax.while_loop(lambda carry: jnp.any(carry[0] != carry[2]), again, start)
    return found, present[: cloud.n]


def _repeated(points: Points, found: SearchResult) -> Bool[EitherArray, " m"]:
    """Which present points equal their nearest neighbor, where that is an earlier point."""
    numpy, n = numpy_of(found.indices), len(found.indices)
    absent = (0, len(points.present) - n)
    nearest, zero = (numpy.pad(a[:, 0], absent) for a in (found.indices, found.squared == 0))
    same = zero & (nearest < numpy.arange(len(zero))) & points.present
    # On the host only the few that are at distance zero are compared.
    rows = np.flatnonzero(same) if numpy is np else numpy.arange(len(zero))
    whole = [part for part in (points.values, points.rest) if part is not None]
    alike = [(part[rows] == part[nearest[rows]]).all(axis=1) for part in whole]
    if numpy is not np:
        return same & numpy.all(numpy.stack(alike), axis=0)
    same[rows] = np.all(alike, axis=0)
    return same
