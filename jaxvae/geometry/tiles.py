"""Clouds larger than the device: read in tiles of points, from disk or from memory.

Every step forms one small cloud of a tile and of the rows in question, and works on it
as on any other: what is exact there is exact here. The cost is a second reading of a
tile for every block of rows, which thousands of rows share.
"""

import math
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from jaxvae.geometry.arrays import as_array, as_point_array, refuse_other_points
from jaxvae.geometry.counting import count
from jaxvae.geometry.finding import find_in
from jaxvae.geometry.float32 import largest_magnitude
from jaxvae.geometry.points import as_points
from jaxvae.geometry.rows import Progress, Space, as_space
from jaxvae.geometry.selection import LANE
from jaxvae.geometry.ties import compared_with

# Points take this many times their bytes on the device while they are compared.
_COPIES = 4
_ROWS = 1024
_BYTES = "JAXVAE_DEVICE_BYTES"


class Tiles(NamedTuple):
    """An array that stays where it is, and is read a few rows at a time.

    Attributes:
        array: `[n, ...]`, with `shape`, `dtype` and indexing by sorted rows: NumPy,
            memory-mapped, zarr.
        present: `[n]`, the points that count.
    """

    array: Any
    present: Bool[np.ndarray, " n"]

    @property
    def n(self) -> int:
        """The number of points, absent ones included."""
        return len(self.present)

    @property
    def features(self) -> int:
        """The number of features of a point."""
        return math.prod(self.array.shape[1:])


def is_too_large(x: Any) -> bool:
    """Whether an array on the host would not fit on the device."""
    if isinstance(x, jax.Array) or not hasattr(x, "shape"):
        return False
    return _COPIES * 4 * math.prod(x.shape) > _device_bytes()


def as_tiles(x: Any) -> Tiles:
    """The array, every point present; see `as_points` for what is refused."""
    if isinstance(getattr(x, "dtype", None), np.dtype):
        refuse_other_points(x)
    else:
        x = as_point_array(x)
    tiles = Tiles(x, np.ones(x.shape[0], bool))
    for tile in _tiles(tiles):
        largest_magnitude(_read(tiles, tile), first_row=int(tile[0]))
    return tiles


def distinct_tiles(tiles: Tiles) -> Tiles:
    """The tiles with only the first row of every set of equal rows present."""
    hashes = np.concatenate([_hashes(_read(tiles, tile)) for tile in _tiles(tiles)])
    order = np.argsort(hashes, kind="stable")
    (repeated,) = np.nonzero(hashes[order][1:] == hashes[order][:-1])
    present = tiles.present.copy()
    for start in range(0, len(repeated), _ROWS):
        batch = repeated[start : start + _ROWS]
        rows, before = order[batch + 1], order[batch]
        present[rows] = (_read(tiles, rows) != _read(tiles, before)).any(axis=1)
    return tiles._replace(present=present)


def search_tiles(
    tiles: Tiles, *, k: int, progress: Progress | None
) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, "n k"], int]:
    """Squared distances and indices of the k nearest, and the exponent of the unit."""
    squared, exponents, indices = [], [], []
    for rows in _blocks(tiles.n, _ROWS, progress):
        nearest = [rows]
        for tile in _tiles(tiles):
            # A short last tile may have fewer points than are looked for.
            cloud = _local_cloud(tiles, rows, tile, max(len(tile), k) + _ROWS)
            distances, found = cloud.nearest(rows, k)
            nearest.append(cloud.ids[found[np.isfinite(distances)]])
        # The nearest of all points are among the nearest of each tile.
        together = np.unique(np.concatenate(nearest))
        size = 2 ** (max(len(together), k + 1) - 1).bit_length()
        cloud = _local_cloud(tiles, rows, together, size)
        distances, found = cloud.nearest(rows, k)
        squared.append(distances.astype(np.float64))
        exponents.append(int(cloud.space.points.exponent))
        indices.append(cloud.ids[found])
    # In the largest unit: float64 may not hold squares in that of the input.
    most = max(exponents)
    alike = [
        np.ldexp(some, 2 * (exponent - most))
        for some, exponent in zip(squared, exponents, strict=True)
    ]
    kept, exponent = _scaled(np.concatenate(alike))
    return kept, np.concatenate(indices).astype(np.int32), exponent + most


def rank_tiles(
    tiles: Tiles,
    rows: Int[np.ndarray, " r"],
    indices: Int[np.ndarray, "r k"],
    *,
    progress: Progress | None,
) -> Float[np.ndarray, "r k"]:
    """Mid-ranks of the indices around some points: the closer points of every tile add up."""
    results = []
    for some in _blocks(len(rows), max(1, _ROWS // indices.shape[1]), progress):
        around, targets = rows[some], indices[some]
        named = np.union1d(around, targets)
        ranks = np.ones(targets.shape)
        for tile in _tiles(tiles):
            cloud = _local_cloud(tiles, named, tile, len(tile) + 2 * _ROWS)
            places = cloud.places(around), cloud.places(targets)
            ranks += count(cloud.space, *places) - 1
        results.append(ranks)
    return np.concatenate(results)


def compare_tiles(
    tiles: Tiles, rows: Int[np.ndarray, " r"], kth: Int[np.ndarray, " r"]
) -> Int8[np.ndarray, "r n"]:
    """`compared_with` all points, one tile after the other."""
    named, results = np.union1d(rows, kth), []
    for tile in _tiles(tiles):
        cloud = _local_cloud(tiles, named, tile, len(tile) + 2 * _ROWS)
        compared = compared_with(cloud.space, cloud.places(rows), cloud.places(kth))
        results.append(compared[:, cloud.places(tile)])
    return np.concatenate(results, axis=1)


class _Local(NamedTuple):
    """A few points of the tiles as a cloud.

    Attributes:
        space: space of m points.
        ids: `[m]`, which points of the tiles they are, ascending.
    """

    space: Space
    ids: Int[np.ndarray, " m"]

    def places(self, ids: Int[np.ndarray, "*s"]) -> Int[np.ndarray, "*s"]:
        """The indices in the cloud of points of the tiles."""
        return np.searchsorted(self.ids, ids).astype(np.int32)

    def nearest(
        self, rows: Int[np.ndarray, " b"], k: int
    ) -> tuple[Float[np.ndarray, "b k"], Int[np.ndarray, "b k"]]:
        """Squared distances of points of the tiles to the k nearest here, and where these are."""
        return find_in(self.space, self.places(rows), k=k, length=min(_ROWS, len(self.ids)))


def _local_cloud(
    tiles: Tiles, rows: Int[np.ndarray, " b"], tile: Int[np.ndarray, " t"], size: int
) -> _Local:
    """The points of a tile, and some rows that are absent from it, filled up to one size."""
    ids = np.union1d(rows, tile)
    present = np.isin(ids, tile, assume_unique=True) & tiles.present[ids]
    extra = -(-max(size, len(ids)) // LANE) * LANE - len(ids)
    (points,) = as_points(np.pad(_read(tiles, ids), ((0, extra), (0, 0)), mode="edge"))
    points = points._replace(present=np.pad(present, (0, extra)))
    return _Local(as_space(points, None), np.pad(ids, (0, extra), mode="edge"))


def _read(tiles: Tiles, rows: Int[np.ndarray, " b"]) -> np.ndarray:
    # zarr and h5py want ascending rows.
    ids, positions = np.unique(rows, return_inverse=True)
    values = np.asarray(as_array(tiles.array[ids]))
    return values.reshape(len(ids), -1)[positions]


def _tiles(tiles: Tiles) -> Iterator[Int[np.ndarray, " t"]]:
    """The points in tiles that fit on the device, all of one length but the last."""
    size = max(2 * _ROWS, _device_bytes() // (4 * _COPIES * tiles.features))
    return (np.arange(at, min(at + size, tiles.n)) for at in range(0, tiles.n, size))


def _blocks(n: int, size: int, progress: Progress | None) -> Iterator[Int[np.ndarray, " b"]]:
    for start in range(0, n, size):
        yield np.arange(start, min(start + size, n))
        if progress is not None:
            progress(min(start + size, n), n)


def _scaled(squared: Float[np.ndarray, "n k"]) -> tuple[Float[np.ndarray, "n k"], int]:
    """An array as float32, in units of a power of four that keeps it in its range."""
    finite = squared[np.isfinite(squared)]
    exponent = int(np.frexp(finite.max(initial=0.0))[1]) // 2 - 40
    return np.ldexp(squared, -2 * exponent).astype(np.float32), exponent


def _hashes(values: np.ndarray) -> Int[np.ndarray, " b"]:
    """64 bits for every row; equal rows have equal ones."""
    whole = np.ascontiguousarray(values + np.zeros((), values.dtype))  # -0.0 becomes 0.0
    if whole.dtype == np.longdouble:  # bytes of which are of no number
        with np.errstate(over="ignore"):
            whole = whole.astype(np.float64)
    words = whole.view(np.uint8).reshape(len(whole), -1).astype(np.uint64)
    weights = np.random.default_rng(0).integers(2**63, size=words.shape[1], dtype=np.uint64)
    return (words * (2 * weights + 1)).sum(axis=1, dtype=np.uint64)


def _device_bytes() -> int:
    """Memory that clouds may fill: `JAXVAE_DEVICE_BYTES`, or half of what the device has.

    Raises:
        ValueError: for a variable that is no whole number.
    """
    if given := os.environ.get(_BYTES):
        try:
            return int(given)
        except ValueError as error:
            raise ValueError(
                f"expected a whole number of bytes as {_BYTES}, got {given}"
            ) from error
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return (limit or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) // 2
