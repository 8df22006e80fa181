"""The share of neighbors that spaces have in common, and of neighbors with the same label."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from jaxvae.geometry.arrays import as_classes
from jaxvae.geometry.clouds import as_cloud, common_length, refuse_tiles
from jaxvae.geometry.host import as_results, numpy_of
from jaxvae.geometry.places import (
    Around,
    Places,
    blocks_of,
    first_places,
    with_shared_traced,
)
from jaxvae.geometry.rows import Progress
from jaxvae.metrics.symmetric import symmetric_matrix
from jaxvae.typing import ArrayLike, EitherArray


def neighborhood_overlap(
    a: ArrayLike,
    b: ArrayLike,
    *,
    k: int = 30,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> Float[Array, ""]:
    """Share of the k nearest neighbors that two representations have in common.

    The mean over the points i of `|N_a(i) & N_b(i)| / k`, `N(i)` being the k
    nearest others of i. The cost is that of the two searches.

    Args:
        a: `[n, ...]`, trailing axes are flattened.
        b: `[n, ...]`, the same points in another space, of any width.
        k: neighbors compared, 1 to n - 1.
        mesh: devices to split the points over; all its axes are used.
            Arrays that are read in tiles use one device.
        progress: called as `progress(points done, n)` after every few blocks.

    Returns:
        `[]`, between 0 and 1: 1 if the neighborhoods are the same and no points
        tie for the last places, else less, also of a space with itself;
        `k / (n - 1)` on average if the spaces are unrelated. Symmetric in a and
        b. Scale, shift and rotation of either do not matter. Repeated rows are kept.
        Points that tie for the last places share them: t points that tie for r
        places count r / t each, and a point that has a share in both spaces the
        product of the two, as if ties were broken at random in each, on average.
        So a constant space has k / (n - 1) in common with any, itself too, and
        the order of the rows does not matter.

    Raises:
        ValueError: for different n, k outside 1 to n - 1, NaN or infinite input.

    Reference: Doimo, Glielmo, Ansuini and Laio (2020).
    """
    return _overlap(*_places([a, b], k, mesh, progress))


def overlap_matrix(
    spaces: Sequence[ArrayLike],
    *,
    k: int = 30,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> Float[Array, "l l"]:
    """Neighborhood overlap between all pairs of representations of the same points.

    The cost is that of one search for every space.

    Args:
        spaces: l arrays `[n, ...]`, of any widths.
        k: neighbors compared, 1 to n - 1.
        mesh: devices to split the points over; all its axes are used.
            Arrays that are read in tiles use one device.
        progress: called as `progress(points done, n)` after every few blocks.

    Returns:
        `[l, l]`, symmetric, see `neighborhood_overlap`; the diagonal is 1 where no points tie
        for the last places.

    Raises:
        ValueError: for no spaces, different n, k outside 1 to n - 1, NaN or infinite input.

    Reference: Doimo, Glielmo, Ansuini and Laio (2020).
    """
    if len(spaces) == 0:
        raise ValueError("expected at least one space, got none")
    places = _places(spaces, k, mesh, progress)
    return symmetric_matrix(len(places), lambda i, j: _overlap(places[i], places[j]))


def label_overlap(
    x: ArrayLike,
    labels: ArrayLike,
    *,
    k: int = 30,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> Float[Array, ""]:
    """Share of the k nearest neighbors that have the point's own label.

    The plain mean over points and neighbors: large classes weigh more, and it
    cannot reach 1 where a class has fewer than k + 1 points. The cost is that
    of the search.

    Args:
        x: `[n, ...]` points; trailing axes are flattened.
        labels: `[n]`, one of each point, of any hashable type: numbers, texts, dates,
            tuples, as an array, a list or a column of a table. Integers or booleans while
            a function is traced.
        k: neighbors of each point, 1 to n - 1.
        mesh: devices to split the points over; all its axes are used.
            Arrays that are read in tiles use one device.
        progress: called as `progress(points done, n)` after every few blocks.

    Returns:
        `[]`, between 0 and 1; about the sum over classes of their squared shares
        if the labels have nothing to do with the space. Repeated rows are kept.
        Points that tie for the last places share them: t points that tie for r
        places count r / t each.

    Raises:
        ValueError: for labels that are not `[n]`, missing (None, NaN) or without a hash, k
            outside 1 to n - 1, NaN or infinite input.

    Reference: Doimo, Glielmo, Ansuini and Laio (2020).
    """
    cloud = as_cloud(x)
    classes = as_classes(labels, cloud.n)
    refuse_tiles([cloud], beside=isinstance(classes, jax.core.Tracer))
    places = first_places(cloud, k, mesh=mesh, progress=progress)
    return _mean_share(_alike(classes, places), places.k)


def _places(
    spaces: Sequence[ArrayLike], k: int, mesh: Mesh | None, progress: Progress | None
) -> list[Places]:
    """The first k places of every point in every space; points count when all spaces are done."""
    clouds = [as_cloud(space) for space in spaces]
    common_length(clouds)

    def part(index: int) -> Progress | None:
        if progress is None:
            return None
        return lambda done, n: progress((index * n + done) // len(clouds), n)

    return [
        first_places(cloud, k, mesh=mesh, progress=part(index))
        for index, cloud in enumerate(clouds)
    ]


def _overlap(a: Places, b: Places) -> Float[EitherArray, ""]:
    return _mean_share(_common(a, b), a.k)


def _common(a: Places, b: Places) -> Float[EitherArray, " n"]:
    """How many of the first k places each point gives to the same points in both spaces."""
    # What both have stands next to itself in sorted order; comparing all with all would
    # hold n k^2 entries.
    is_traced = a.is_traced or b.is_traced
    numpy = jnp if is_traced else numpy_of(a.first)
    both = numpy.sort(numpy.concatenate([a.first, b.first], axis=1), axis=1)
    counts = (both[:, 1:] == both[:, :-1]).sum(axis=1).astype(np.float32)
    if is_traced:
        return with_shared_traced([a, b], counts, lambda around, *_: _both(*around.shares))
    for rows in blocks_of(np.union1d(a.shared_rows(), b.shared_rows()), len(counts)):
        counts[rows] = _both(a.shares(rows), b.shares(rows))
    return counts


def _alike(labels: Int[EitherArray, " n"], places: Places) -> Float[EitherArray, " n"]:
    """How many of the first k places each point gives to points with its label."""
    if places.is_traced or isinstance(labels, jax.core.Tracer):
        return _alike_traced(jnp.asarray(labels), places)
    counts = (labels[places.first] == labels[:, None]).sum(axis=1).astype(np.float32)
    for rows in blocks_of(places.shared_rows(), len(counts)):
        counts[rows] = _both(places.shares(rows), labels == labels[rows, None])
    return counts


def _alike_traced(labels: Int[Array, " n"], places: Places) -> Float[Array, " n"]:
    counts = (labels[places.first] == labels[:, None]).sum(axis=1).astype(jnp.float32)

    def redo(around: Around, _: Any, labels: Int[Array, " n"]) -> Float[Array, ""]:
        shares = around.shares[0, : len(labels)]
        return _both(shares, labels == labels[around.row])

    return with_shared_traced([places], counts, redo, labels)


def _both(
    first: Float[EitherArray, "*b n"], second: Float[EitherArray, "*b n"]
) -> Float[EitherArray, "*b"]:
    return (first * second).sum(axis=-1)


def _mean_share(counts: Float[EitherArray, " n"], k: int) -> Float[EitherArray, ""]:
    if isinstance(counts, np.ndarray):
        return as_results((counts / np.float32(k)).mean(dtype=np.float64))
    # By a constant it would become a product with its rounded inverse, and all of them
    # not be 1.
    whole, n = map(lax.optimization_barrier, (jnp.float32(k), jnp.float32(len(counts))))
    return (counts / whole).sum() / n
