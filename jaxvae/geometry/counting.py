"""Mid-ranks by counting: one pass over a block of distances, then the comparisons left open.

What is compiled counts, for every target, the points that the bounds prove to be closer, and
in which columns the others are that may be. These few are compared one by one: by float32
differences, and beyond on the host. On an accelerator, and while a function is traced, they are
compared on the device.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from jaxvae.geometry.distances import Bounds, distance_bounds
from jaxvae.geometry.points import Points
from jaxvae.geometry.rows import Space, finished_in_turn, on_host, with_redone
from jaxvae.geometry.settling_on_device import counted, doubled_precisely
from jaxvae.geometry.settling_on_host import ranks_on_host, with_heavy

# Targets of a row that share one pass over its distances.
_TARGETS = 16


def count(
    space: Space, rows: Int[np.ndarray, " b"], targets: Int[np.ndarray, "b k"]
) -> Float[np.ndarray, "b k"]:
    """Mid-ranks of the targets of each row among the present points."""
    return count_each([space], rows, [space.run(distance_bounds, rows)], [targets])[0]


def count_each(
    spaces: Sequence[Space],
    rows: Int[np.ndarray, " b"],
    bounds: Sequence[Bounds],
    targets: Sequence[Int[np.ndarray, "b k"]],
) -> list[Float[np.ndarray, "b k"]]:
    """In every space 1 + closer + (equally far) / 2 for its targets of each row, by its bounds.

    Every space has k targets of a row.
    """
    k = targets[0].shape[1]
    width = min(k, _TARGETS)
    padded = [np.pad(wanted, ((0, 0), (0, -k % width)), mode="edge") for wanted in targets]
    groups = -(-k // width)
    begun = (
        _begun(space, rows, of_space, group)
        for space, of_space, wanted in zip(spaces, bounds, padded, strict=True)
        for group in np.split(wanted, groups, axis=1)
    )
    ranks = [*finished_in_turn(begun)]
    parts = [ranks[start : start + groups] for start in range(0, len(ranks), groups)]
    return [np.concatenate(of_space, axis=1)[:, :k] for of_space in parts]


def count_traced(
    points: Points, rows: Int[Array, " b"], targets: Int[Array, "b k"]
) -> Float[Array, "b k"]:
    """`count` of some rows while a function is traced, all that is open settled on the device."""
    # Stored, so that an entry that is looked up has the bits that were counted.
    bounds = distance_bounds(points, rows)
    bounds = bounds._replace(lower=lax.optimization_barrier(bounds.lower))
    doubled, heavy = counted(points, rows, bounds, targets)
    doubled = with_redone(
        heavy, doubled, lambda at: doubled_precisely(points, rows[at], targets[at])
    )
    return 1 + doubled / 2


def _begun(
    space: Space, rows: Int[np.ndarray, " b"], bounds: Bounds, indices: Int[np.ndarray, "b t"]
) -> Callable[[], Float[np.ndarray, "b t"]]:
    """The ranks as a function to call for them: until then the device works on them."""
    if not space.choices.settles_on_device:
        return ranks_on_host(space, rows, bounds, indices)
    counts = space.run(counted, rows, bounds, indices)

    def finish() -> Float[np.ndarray, "b t"]:
        doubled, heavy = on_host(counts, space)
        return with_heavy(space, rows, indices, 1 + doubled / 2, heavy)

    return finish
