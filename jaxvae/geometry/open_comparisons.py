"""What bounds of distances leave open: the points that may be closer to a row than a target."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int8

from jaxvae.geometry.distances import Bounds, upper_bounds
from jaxvae.geometry.points import Points
from jaxvae.geometry.selection import LANE, lane_columns, lane_counts
from jaxvae.typing import EitherArray


class Targets(NamedTuple):
    """The points whose ranks are wanted, a few for each row.

    Attributes:
        indices: `[b, t]`.
        near: `[b, t]`, squared distances below this are smaller than the target's.
        far: `[b, t]`, and above this larger.
    """

    indices: Int[EitherArray, "b t"]
    near: Float[EitherArray, "b t"]
    far: Float[EitherArray, "b t"]


class Lanes(NamedTuple):
    """Lanes of a block of distances, each for one target of one row.

    Attributes:
        row: `[v]`, of the block.
        target: `[v]`, of the row.
        lane: `[v]`.
    """

    row: Int[EitherArray, " v"]
    target: Int[EitherArray, " v"]
    lane: Int[EitherArray, " v"]


def tally(
    points: Points, rows: Int[Array, " b"], bounds: Bounds, targets: Targets
) -> tuple[Int[Array, "b t"], Int8[Array, "b t lanes"]]:
    """The points that are certainly closer, and how many others may be in each lane."""
    upper = upper_bounds(points, rows, bounds)
    closer = lane_counts(upper[:, None] < targets.near[:, :, None])
    within = lane_counts(bounds.lower[:, None] <= targets.far[:, :, None])
    return jnp.sum(closer, axis=2, dtype=jnp.int32), within - closer


def open_columns(
    points: Points, rows: Int[EitherArray, " b"], bounds: Bounds, targets: Targets, lanes: Lanes
) -> Bool[EitherArray, "v LANE"]:
    """Which columns of the lanes are open; the target itself is one of them."""
    at = lanes.row[:, None], lane_columns(lanes.lane, bounds.lower.shape[1] // LANE)
    near, far = (part[lanes.row, lanes.target][:, None] for part in targets[1:])
    return (upper_bounds(points, rows, bounds, at) >= near) & (bounds.lower[at] <= far)
