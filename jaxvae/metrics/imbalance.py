"""Information imbalance: how well one space predicts the neighbors of another."""

from collections.abc import Sequence
from typing import NamedTuple

from jax.sharding import Mesh
from jaxtyping import Array, Float

from jaxvae.geometry.clouds import as_cloud
from jaxvae.geometry.host import as_results, numpy_of
from jaxvae.geometry.mutual import mutual_ranks
from jaxvae.geometry.rows import Progress
from jaxvae.typing import ArrayLike, EitherArray


class Imbalance(NamedTuple):
    """Information imbalance between two spaces, in both directions.

    Attributes:
        forward: `[]`, Delta(a -> b): near 0 if neighbors in a are neighbors in
            b, near 1 if they say nothing about b.
        backward: `[]`, Delta(b -> a).
    """

    forward: Float[Array, ""]
    backward: Float[Array, ""]


def information_imbalance(
    a: ArrayLike,
    b: ArrayLike,
    *,
    k: int = 1,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> Imbalance:
    """Information imbalance Delta between two representations of the same points.

    `Delta(a -> b) = 2 / n * <rank in b of the first k neighbors in a>`, the mean
    being over points and neighbors.

    Args:
        a: `[n, ...]`, trailing axes are flattened.
        b: `[n, ...]`, the same points in another space.
        k: neighbors averaged over, 1 to n - 1.
        mesh: devices to split the points over; all its axes are used.
            Arrays that are read in tiles use one device.
        progress: called as `progress(points done, n)` after every few blocks.

    Returns:
        `Imbalance(forward, backward)`, each from `(k + 1) / n` to
        `2 - (k + 1) / n`; above 1, neighbors in one space are farther apart in the
        other than chance makes them. Identical spaces without ties give
        `(k + 1) / n`, unrelated ones 1 with a spread of about `0.58 / sqrt(n)` at
        k = 1. Points as far from another as its k-th neighbor share the last of its
        k places: their ranks are averaged; so a constant space gives 1 to any.
        In the other space points that tie take the mean of their ranks: against a
        constant space Delta is 1. The order of the rows does not matter, repeated
        rows are kept, and scale, shift and rotation of either space change nothing.

    Raises:
        ValueError: for different n, k outside 1 to n - 1, NaN or infinite input.

    Reference: Glielmo, Zeni, Cheng, Csanyi and Laio (2022).
    """
    matrix = _matrix([a, b], k, mesh, progress)
    return as_results(Imbalance(matrix[0, 1], matrix[1, 0]))


def imbalance_matrix(
    spaces: Sequence[ArrayLike],
    *,
    k: int = 1,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> Float[Array, "l l"]:
    """Information imbalance between all pairs of representations of the same points.

    Args:
        spaces: l arrays `[n, ...]`, of any widths.
        k: neighbors averaged over, 1 to n - 1.
        mesh: devices to split the points over; all its axes are used.
            Arrays that are read in tiles use one device.
        progress: called as `progress(points done, n)` after every few blocks.

    Returns:
        `[l, l]`, entry `[i, j]` is Delta(space i -> space j); the diagonal is
        `(k + 1) / n` where there are no ties. See `information_imbalance`.

    Raises:
        ValueError: for no spaces, different n, k outside 1 to n - 1, NaN or
            infinite input.

    Reference: Glielmo, Zeni, Cheng, Csanyi and Laio (2022).
    """
    if len(spaces) == 0:
        raise ValueError("expected at least one space, got none")
    return as_results(_matrix(spaces, k, mesh, progress))


def _matrix(
    spaces: Sequence[ArrayLike], k: int, mesh: Mesh | None, progress: Progress | None
) -> Float[EitherArray, "l l"]:
    clouds = [as_cloud(space) for space in spaces]
    ranks = mutual_ranks(clouds, k=k, mesh=mesh, progress=progress)
    return _mean(ranks) * (2 / len(ranks))


def _mean(ranks: Float[EitherArray, "n l l"]) -> Float[EitherArray, "l l"]:
    """Mean over points, summed by halves: a running float32 sum of ranks loses digits."""
    total, n, numpy = ranks, len(ranks), numpy_of(ranks)
    while len(total) > 1:
        total = numpy.pad(total, ((0, len(total) % 2), (0, 0), (0, 0)))
        total = total[: len(total) // 2] + total[len(total) // 2 :]
    return total[0] / n
