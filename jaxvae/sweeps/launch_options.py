"""The ways to launch a sweep that a user may choose, without JAX, which help does without."""

from typing import NamedTuple

# The address of a Ray cluster that is started for the sweep alone.
HERE = "here"


class Launch(NamedTuple):
    """How the units of a sweep are done, which changes none of its results.

    Attributes:
        plan: list the units, and do nothing else.
        report: merge and draw the results of finished units, and do nothing else.
        shard: `(i, n)`: do the units of the i-th of n shares, counted from 0.
        workers: number of processes that are started on this machine.
        ray: address of a Ray cluster, or `HERE` for one that is started for the sweep.
        members: number of runs that are trained in one program, at most; None for as many as fit.
        devices: number of devices of this machine that share the runs of a unit; None for one.
    """

    plan: bool = False
    report: bool = False
    shard: tuple[int, int] | None = None
    workers: int | None = None
    ray: str | None = None
    members: int | None = None
    devices: int | None = None

    @property
    def on_host(self) -> bool:
        """Whether this process leaves the accelerators to those that it starts."""
        return self.workers is not None or self.ray is not None
