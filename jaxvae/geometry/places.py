"""The first k places around every point: who has them, and who shares the last one."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from jaxvae.geometry.clouds import Cloud, Whole
from jaxvae.geometry.comparing import closer
from jaxvae.geometry.distances import difference_rounding, rounding
from jaxvae.geometry.neighbors import checked_k, search
from jaxvae.geometry.points import Points
from jaxvae.geometry.precise import Expansion, comparisons, precise_row
from jaxvae.geometry.rows import Progress, as_space, block_length, traced_rows, with_redone
from jaxvae.geometry.ties import compared_with, may_tie, shares_of
from jaxvae.geometry.tiles import Tiles, compare_tiles
from jaxvae.platforms import CPU
from jaxvae.typing import EitherArray

# Rows whose shares among all points are held at a time.
_MOST_ROWS = 1024


class Places(NamedTuple):
    """The nearest points of a cloud around every point.

    Attributes:
        cloud: the points.
        squared: `[n, c]`, squared distances to the nearest, ascending.
        columns: `[n, c]`, which these are: one more than k, to see whether it ties with the
            k-th, unless there are no more.
        k: how many places there are.
    """

    cloud: Cloud
    squared: Float[EitherArray, "n c"]
    columns: Int[EitherArray, "n c"]
    k: int

    @property
    def first(self) -> Int[EitherArray, "n k"]:
        """Who has the places where none is shared."""
        return self.columns[:, : self.k]

    @property
    def is_traced(self) -> bool:
        """Whether the values of the cloud are not known."""
        return isinstance(self.cloud, Whole) and self.cloud.is_traced

    def shared_rows(self) -> Int[np.ndarray, " r"]:
        """The points around which the last place is shared, of a cloud of known values.

        In tiles also some around which it may be, as far as float32 tells.
        """
        squared, columns = np.asarray(self.squared), np.asarray(self.columns)
        if isinstance(self.cloud, Tiles):
            margin = difference_rounding(self.cloud.features)
            return np.flatnonzero(may_tie(squared, self.k, margin))
        points = self.cloud.points
        rows = np.flatnonzero(may_tie(squared, self.k, rounding(points)))
        kth, next_ = columns[rows, self.k - 1], columns[rows, -1]
        return rows[closer(points, rows, kth, next_) == 1]

    def shares(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b n"]:
        """The share of the places around some points that every point has."""
        kth = np.asarray(self.columns)[rows, self.k - 1]
        if isinstance(self.cloud, Tiles):
            return shares_of(compare_tiles(self.cloud, rows, kth), self.k)
        space = as_space(self.cloud.points, None)
        return shares_of(compared_with(space, rows, kth)[:, : self.cloud.n], self.k)


def first_places(cloud: Cloud, k: int, *, mesh: Mesh | None, progress: Progress | None) -> Places:
    """The points in the first k places around every point.

    Raises:
        ValueError: for k outside 1 to n - 1.
    """
    k = checked_k(k, cloud.n)
    found = search(cloud, k=nearest_count(k, cloud.n), mesh=mesh, progress=progress)
    return Places(cloud, found.squared, found.indices, k)


class Around(NamedTuple):
    """What is known around one point in l clouds of m points while a function is traced.

    Attributes:
        row: `[]`, the point.
        points: the clouds.
        exact: squared distances from the point in each.
        shares: `[l, m]`, of the first k places.
        is_shared: `[l]`, whether the last place may be shared.
    """

    row: Int[Array, ""]
    points: list[Points]
    exact: list[Expansion]
    shares: Float[Array, "l m"]
    is_shared: Bool[Array, " l"]


def with_shared_traced(
    places: Sequence[Places],
    values: Float[Array, "n ..."],
    redo: Callable[[Around, Float[Array, "..."], Any], Float[Array, "..."]],
    extra: Any = None,
) -> Float[Array, "n ..."]:
    """Values by row as part of a trace, made anew around which a last place may be shared.

    Args:
        places: those of every cloud, all of one k, some of them traced.
        values: what holds where no place is shared.
        redo: `(around, value, extra) -> value` of one row.
        extra: arrays that it needs.
    """
    clouds = [of_cloud.cloud.points for of_cloud in places if isinstance(of_cloud.cloud, Whole)]
    found = [(of_cloud.squared, of_cloud.columns) for of_cloud in places]
    operands = clouds, found, values, extra
    block = partial(_shared_block, k=places[0].k, redo=redo)
    return traced_rows(block, operands, len(values), columns=len(clouds[0].norms))


def _shared_block(
    operands: Any, rows: Int[Array, " b"], *, k: int, redo: Callable[..., Array]
) -> Float[Array, "b ..."]:
    clouds, found, values, extra = operands
    squared = jnp.stack([of_cloud[rows] for of_cloud, _ in found], axis=1)
    is_shared = may_tie(squared, k, jnp.stack([jnp.asarray(rounding(p)) for p in clouds])[None])

    def redo_row(at: Int[Array, ""]) -> Float[Array, "..."]:
        row = rows[at]
        exact = [precise_row(points, row) for points in clouds]
        compared = [
            comparisons(points, row, distances, columns[row, k - 1])
            for points, distances, (_, columns) in zip(clouds, exact, found, strict=True)
        ]
        around = Around(row, clouds, exact, shares_of(jnp.stack(compared), k), is_shared[at])
        return redo(around, values[row], extra).astype(values.dtype)

    return with_redone(jnp.any(is_shared, axis=1), values[rows], redo_row)


def nearest_count(k: int, n: int) -> int:
    """The number of neighbors that show whether another ties with the k-th."""
    return min(k + 1, n - 1)


def blocks_of(rows: Int[np.ndarray, " r"], n: int) -> Iterator[Int[np.ndarray, " b"]]:
    """Some of n rows, as many at a time as their shares among all points leave room for."""
    size = min(block_length(n, CPU), _MOST_ROWS)  # which the host holds
    return (rows[start : start + size] for start in range(0, len(rows), size))
