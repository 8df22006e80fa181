"""A cloud as the metrics take it: on the device where it fits, else in tiles."""

from typing import TypeAlias

from jaxvae.geometry.points import Points, as_points, distinct_rows
from jaxvae.geometry.selection import LANE
from jaxvae.geometry.tiles import Tiles, as_tiles, distinct_tiles, is_too_large
from jaxvae.typing import ArrayLike

Cloud: TypeAlias = Points | Tiles


def as_cloud(x: ArrayLike) -> Cloud:
    """The points of an array `[n, ...]`; see `as_points` for what is refused."""
    return as_tiles(x) if is_too_large(x) else as_points(x, multiple=LANE)[0]


def distinct(cloud: Cloud) -> Cloud:
    """The cloud with only the first row of every set of equal rows present."""
    if isinstance(cloud, Tiles):
        return distinct_tiles(cloud)
    return cloud._replace(present=distinct_rows(cloud))
