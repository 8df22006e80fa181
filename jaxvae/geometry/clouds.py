"""A cloud as the metrics take it: on the device where it fits, else in tiles."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import jax

from jaxvae.geometry.arrays import as_point_array
from jaxvae.geometry.points import Points, as_points
from jaxvae.geometry.selection import filled_length
from jaxvae.geometry.tiles import Tiles, as_tiles, is_too_large
from jaxvae.typing import ArrayLike


class Whole(NamedTuple):
    """A cloud that fits on the device.

    Attributes:
        points: filled up to one of few lengths.
        n: how many of them are the cloud's.
    """

    points: Points
    n: int

    @property
    def is_traced(self) -> bool:
        """Whether its values are not known, because a function of them is traced."""
        return isinstance(self.points.values, jax.core.Tracer)


Cloud: TypeAlias = Whole | Tiles


def as_cloud(x: ArrayLike) -> Cloud:
    """The points of an array `[n, ...]`; see `as_points` for what is refused."""
    if not is_too_large(x):
        x = as_point_array(x)
    if is_too_large(x):
        return as_tiles(x)
    (points,) = as_points(x, filled=filled_length)
    return Whole(points, x.shape[0])


def common_length(clouds: Sequence[Cloud]) -> int:
    """The number of points that all clouds share.

    Raises:
        ValueError: where they differ, and for one in tiles beside one that is traced.
    """
    lengths = [cloud.n for cloud in clouds]
    if len(set(lengths)) != 1:
        raise ValueError(f"expected the same number of points in every space, got {lengths}")
    refuse_tiles(clouds, beside=any(isinstance(c, Whole) and c.is_traced for c in clouds))
    return lengths[0]


def refuse_tiles(clouds: Sequence[Cloud], *, beside: bool) -> None:
    """Refuse clouds in tiles, which are read on the host, beside values that are traced.

    Raises:
        ValueError: for such clouds, where there are such values.
    """
    if beside and any(isinstance(cloud, Tiles) for cloud in clouds):
        raise ValueError(
            "expected arrays that fit on the device beside an argument of a traced function, got a "
            "larger one: measure it outside of jit and vmap"
        )
