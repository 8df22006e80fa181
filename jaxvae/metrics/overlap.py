"""How many neighbors two spaces share, and how many share a label."""

import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from jaxvae.geometry.arrays import as_classes
from jaxvae.geometry.clouds import as_cloud
from jaxvae.geometry.neighbors import search
from jaxvae.geometry.points import as_results, numpy_of
from jaxvae.geometry.ranks import common_length
from jaxvae.geometry.rows import Progress
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
        progress: called as `progress(points done, n)` after every few blocks.

    Returns:
        `[]`, between 0 and 1: 1 if the neighborhoods are the same, `k / (n - 1)`
        on average if the spaces are unrelated. Symmetric in a and b. Scale,
        shift and rotation of either do not matter. Repeated rows are kept, and
        ties at the k-th place go to the lowest index: in a constant space the
        neighbors are the first k points, so its overlap with another is about
        that of an unrelated one.

    Raises:
        ValueError: for different n, k outside 1 to n - 1, NaN or infinite input.

    Reference: Doimo, Glielmo, Ansuini and Laio (2020).
    """
    clouds = [as_cloud(x) for x in (a, b)]
    common_length(clouds)
    found = [search(cloud, k=k, mesh=mesh, progress=progress) for cloud in clouds]
    return _shared(found[0].indices, found[1].indices)


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
        progress: called as `progress(points done, n)` after every few blocks.

    Returns:
        `[]`, between 0 and 1; about the sum over classes of their squared shares
        if the labels have nothing to do with the space. Repeated rows are kept,
        and ties at the k-th place go to the lowest index: shuffle points that
        are sorted by label before measuring a space full of ties.

    Raises:
        ValueError: for labels that are not `[n]`, missing (None, NaN) or without a hash, k
            outside 1 to n - 1, NaN or infinite input.

    Reference: Doimo, Glielmo, Ansuini and Laio (2020).
    """
    cloud = as_cloud(x)
    classes = as_classes(labels, cloud.n)
    return _alike(classes, search(cloud, k=k, mesh=mesh, progress=progress).indices)


def _shared(
    first: Int[EitherArray, "n k"], second: Int[EitherArray, "n k"]
) -> Float[EitherArray, ""]:
    # What both have stands next to itself in sorted order; comparing all with all would
    # hold n k^2 entries.
    numpy = numpy_of(first)
    both = numpy.sort(numpy.concatenate([first, second], axis=1), axis=1)
    return _share((both[:, 1:] == both[:, :-1]).sum(), first.size)


def _alike(
    labels: Int[EitherArray, " n"], neighbors: Int[EitherArray, "n k"]
) -> Float[EitherArray, ""]:
    own = numpy_of(neighbors).asarray(labels)
    return _share((own[neighbors] == own[:, None]).sum(), neighbors.size)


def _share(count: Int[EitherArray, ""], whole: int) -> Float[EitherArray, ""]:
    # By a constant it would become a product with its rounded inverse, and all of them
    # not be 1.
    return as_results(count / lax.optimization_barrier(jnp.float32(whole)))
