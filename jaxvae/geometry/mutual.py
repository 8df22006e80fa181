"""Ranks, in each of several spaces, of the neighbors of every point in all of them."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from jaxvae.geometry.clouds import Cloud, Whole, common_length
from jaxvae.geometry.counting import count_each
from jaxvae.geometry.distances import distance_bounds
from jaxvae.geometry.finding import propose_within, settle
from jaxvae.geometry.host import numpy_of
from jaxvae.geometry.neighbors import checked_k
from jaxvae.geometry.places import (
    Around,
    Places,
    blocks_of,
    first_places,
    nearest_count,
    with_shared_traced,
)
from jaxvae.geometry.precise import comparisons
from jaxvae.geometry.ranks import ranks_around
from jaxvae.geometry.rows import Progress, Space, as_space, joined
from jaxvae.typing import EitherArray

# Points around one that are ranked in one pass over its distances.
_RANKED = 16


def mutual_ranks(
    clouds: Sequence[Cloud],
    *,
    k: int,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> Float[EitherArray, "n l l"]:
    """Mean rank in space j of the first k neighbors in space i, for every point, at `[:, i, j]`.

    Points that tie for the last of the k places share it: the mean is that over all of them.

    Each space's distances are formed once: a block of them gives the neighbors
    in that space, then the ranks of the neighbors in all others. (Twice for
    spaces in tiles, of which no block is at hand again.)

    Raises:
        ValueError: for different n, and k outside 1 to n - 1.
    """
    n = common_length(clouds)
    k = checked_k(k, n)
    whole = [cloud.points for cloud in clouds if isinstance(cloud, Whole) and not cloud.is_traced]
    if len(whole) < len(clouds):
        places = [first_places(c, k, mesh=mesh, progress=progress) for c in clouds]
        is_traced = any(of_space.is_traced for of_space in places)
        first = [(jnp if is_traced else np).asarray(of_space.first) for of_space in places]
        of_others = [
            ranks_around(cloud, targets, mesh=mesh, progress=progress)
            for cloud, targets in zip(clouds, _of_others(first), strict=False)
        ]
        ranks = _mean_ranks(of_others, first)
        if is_traced:
            return with_shared_traced(places, ranks, lambda at, old, _: _redo_traced(at, old, k))
    else:
        spaces = [as_space(points, mesh) for points in whole]
        rows = spaces[0].blocks(n, spaces=len(spaces), progress=progress)
        nearest, ranks = joined([_mutual_block(spaces, some, k, n) for some in rows], n)
        places = [
            Places(cloud, squared, columns, k)
            for cloud, (squared, columns) in zip(clouds, nearest, strict=True)
        ]
    return _with_shared(places, ranks)


def _mutual_block(
    spaces: Sequence[Space], rows: Int[np.ndarray, " b"], k: int, n: int
) -> tuple[list[tuple[np.ndarray, np.ndarray]], Float[EitherArray, "b l l"]]:
    """Squared distances and columns of the nearest in every space, and the mean ranks."""
    nearest = nearest_count(k, n)
    bounds = [space.run(distance_bounds, rows) for space in spaces]
    proposals = [
        propose_within(space, rows, of_space, nearest)
        for space, of_space in zip(spaces, bounds, strict=True)
    ]
    settled = [
        settle(space, rows, finish(), nearest)
        for space, finish in zip(spaces, proposals, strict=True)
    ]
    first = [columns[:, :k] for _, columns in settled]
    targets = _of_others(first)
    of_others = count_each(spaces, rows, bounds, targets) if targets else []
    return settled, _mean_ranks(of_others, first)


def _of_others(nearest: Sequence[Int[EitherArray, "b k"]]) -> list[Int[EitherArray, "b mk"]]:
    """For every space the k nearest in each of the m others; nothing for one space alone."""
    if len(nearest) == 1:
        return []
    numpy = numpy_of(nearest[0])
    return [
        numpy.concatenate([*nearest[:own], *nearest[own + 1 :]], axis=1)
        for own in range(len(nearest))
    ]


def _mean_ranks(
    ranks: Sequence[Float[EitherArray, "b mk"]], nearest: Sequence[Int[EitherArray, "b k"]]
) -> Float[EitherArray, "b l l"]:
    """The mean rank in every space of the k nearest in each, from the ranks of `_of_others`.

    The mean rank of the k nearest in their own space is (k + 1) / 2, unless the last place is
    shared.
    """
    numpy, (b, k) = numpy_of(nearest[0]), nearest[0].shape
    own = numpy.full((b, 1), (k + 1) / 2, dtype=float)
    means = [of_others.reshape(b, -1, k).mean(axis=2) for of_others in ranks] or [own[:, :0]]
    columns = [
        numpy.concatenate([mean[:, :at], own, mean[:, at:]], axis=1)
        for at, mean in enumerate(means)
    ]
    return numpy.stack(columns, axis=2)


def _with_shared(
    places: Sequence[Places], ranks: Float[np.ndarray, "n l l"]
) -> Float[np.ndarray, "n l l"]:
    """The mean ranks, where the last place is shared those of all that share it."""
    n, k = len(ranks), places[0].k
    for source, of_source in enumerate(places):
        for rows in blocks_of(of_source.shared_rows(), n):
            around = of_source.shares(rows)
            for target, of_target in enumerate(places):
                own = target == source
                sums = _own_ranks(around, k) if own else _weighted(of_target.cloud, rows, around)
                ranks[rows, source, target] = sums / k
    return ranks


def _own_ranks(around: Float[np.ndarray, "b n"], k: int) -> Float[np.ndarray, " b"]:
    """The sum of the ranks in a space of its own first k, by their shares."""
    closer = (around == 1).sum(axis=1)
    # Those that tie have the mean of the ranks that follow: the last of them is that of the last.
    last = (around > 0).sum(axis=1)
    return (closer * (closer + 1) + (k - closer) * (closer + 1 + last)) / 2


def _weighted(
    cloud: Cloud, rows: Int[np.ndarray, " b"], weights: Float[np.ndarray, "b n"]
) -> Float[np.ndarray, " b"]:
    """The sum over all other points of their weight times their rank.

    The ranks of all others sum to n (n - 1) / 2, whatever ties. So only points are ranked whose
    weight is not the most frequent one: few where nearly all tie, and none where all do.
    """
    n = weights.shape[1]
    common = _most_frequent(weights)
    deviations = weights - common[:, None]
    deviations[np.arange(len(rows)), rows] = 0
    row, column = np.nonzero(deviations)
    totals = common * (n * (n - 1) / 2)
    if len(row):
        at, position = _in_groups(row, _RANKED)
        width = at[-1] + 1, _RANKED
        around, targets = np.zeros(width[0], np.int32), np.zeros(width, np.int32)
        around[at] = rows[row]
        targets += (around[:, None] + 1) % n  # to be ranked beside others, of no weight
        targets[at, position] = column
        ranks = ranks_around(cloud, targets, around)
        np.add.at(totals, row, deviations[row, column] * ranks[at, position])
    return totals


def _most_frequent(weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, " b"]:
    """Of the weights 0, 1 and one other in a row, 0 or the other: which more points have."""
    shared = np.where(weights < 1, weights, 0).max(axis=1)
    return np.where(2 * (weights == shared[:, None]).sum(axis=1) > weights.shape[1], shared, 0.0)


def _in_groups(row: Int[np.ndarray, " p"], size: int) -> tuple[np.ndarray, np.ndarray]:
    """For entries of ascending rows the group and the place in it: so many of one row a group."""
    _, first, counts = np.unique(row, return_index=True, return_counts=True)
    groups = -(-counts // size)
    position = np.arange(len(row)) - np.repeat(first, counts)
    return np.repeat(np.cumsum(groups) - groups, counts) + position // size, position % size


def _redo_traced(around: Around, ranks: Float[Array, "l l"], k: int) -> Float[Array, "l l"]:
    """The mean ranks of one row, as `_with_shared` gives them, while a function is traced."""
    wanted = around.is_shared[:, None]
    sums = _weighted_traced(around, jnp.where(wanted, around.shares, 0))
    return jnp.where(wanted, sums / k, ranks)


def _weighted_traced(around: Around, weights: Float[Array, "s m"]) -> Float[Array, "s l"]:
    """`_weighted` in every space around one point, one column after the other."""
    row, points, exact, *_ = around
    others = points[0].present & (jnp.arange(weights.shape[1]) != row)
    count = jnp.sum(others)
    tied = jnp.max(jnp.where(weights < 1, weights, 0), axis=1, keepdims=True)
    most = 2 * jnp.sum(others[None] & (weights == tied), axis=1, keepdims=True) > count
    common = jnp.where(most, tied, 0)
    deviations = jnp.where(others[None], weights - common, 0)

    def add(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        left, sums = carry
        column = jnp.argmax(left)
        ranks = [
            (jnp.sum(comparisons(of_space, row, distances, column), dtype=jnp.int32) + 1) / 2
            for of_space, distances in zip(points, exact, strict=True)
        ]
        sums += deviations[:, column, None] * jnp.stack(ranks)[None]
        return left.at[column].set(False), sums

    start = common * count * ((count + 1) / 2) + jnp.zeros((1, len(points)))
    left = jnp.any(deviations != 0, axis=0)
    return lax.while_loop(lambda carry: jnp.any(carry[0]), add, (left, start))[1]
