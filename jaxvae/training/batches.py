"""The batches of the steps of a training, made of its images where these are kept.

Where every device has all images, a step takes its own. Where not, the batches of some steps are
laid out on the devices at a time; those of the host are read while the steps before them run.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Int, UInt8

from jaxvae.training.mesh import everywhere, put, split
from jaxvae.training.placed import PlacedImages, collected, put_parts, reader

# The batches that are laid out at a time take about so many bytes: long against a call, short
# against the memory.
_PIECE_BYTES = 32 * 2**20

# `epoch -> [n]`, or `[m, n]`: the order in which it visits the images.
Orders = Callable[[int], Array]


class Batches(NamedTuple):
    """The batches of some steps.

    Attributes:
        images: `[n, h, w, c]`, all of them; None where `own` holds images.
        own: the order of the images in an epoch, `[n]`; or the batches themselves,
            `[steps, b, h, w, c]`. Of an ensemble, `[m, ...]`.
        start: the step with which they begin.
    """

    images: UInt8[Array, "n h w c"] | None
    own: Array
    start: int | Int[Array, ""]


class _Chosen(NamedTuple):
    """The images of the steps that are laid out at a time.

    Attributes:
        steps: which steps.
        rows: numbers of their images, `[steps, b]`; of an ensemble, `[m, steps, b]`. The same in
            every process.
        like: an array of the training, which is where the batches have to be.
    """

    steps: range
    rows: Int[np.ndarray, "*m steps b"]
    like: Array


class Plan(NamedTuple):
    """Steps taken so far, to be taken in the end, and in an epoch; images of a step."""

    first: int
    last: int
    per_epoch: int
    batch_size: int


def pieces(
    placed: PlacedImages, orders: Orders, plan: Plan, *, members: int | None = None
) -> Generator[tuple[range, Batches], None, None]:
    """Steps from the first to the last of a plan, in pieces, each with its batches.

    Args:
        placed: the images.
        orders: orders of the images in an epoch.
        plan: which steps.
        members: of an ensemble, which devices share; None for one model, of which they share
            every batch.
    """
    if placed.storage == "everywhere":
        for epoch, steps in _spans(plan, plan.per_epoch):
            yield steps, Batches(placed.kept, orders(epoch), epoch * plan.per_epoch)
        return
    chosen, axis = _chosen(placed, orders, plan, members), 0 if members else 1
    if placed.storage == "host":
        yield from _read_ahead(placed, chosen, axis)
        return
    for steps, rows, _ in chosen:
        yield steps, Batches(None, collected(placed, rows, axis=axis), steps.start)


def batch_at(
    batches: Batches, step: Int[Array, ""], batch_size: int, mesh: Mesh | None = None
) -> UInt8[Array, "b h w c"]:
    """The batch of a step of one model.

    Args:
        batches: batches of some steps, this one among them.
        step: number of the step.
        batch_size: number of images in a batch.
        mesh: devices that share the batch, or None.
    """
    at = step - batches.start
    if batches.images is None:
        return lax.dynamic_index_in_dim(batches.own, at, keepdims=False)
    rows = lax.dynamic_slice(batches.own, (at * batch_size,), (batch_size,))
    if mesh is None:
        return batches.images[rows]
    rows = lax.with_sharding_constraint(rows, split(mesh))
    return lax.with_sharding_constraint(batches.images[rows], split(mesh))


def _spans(plan: Plan, most: int) -> Iterator[tuple[int, range]]:
    """Steps within an epoch, at most so many, and the epoch."""
    step = plan.first
    while step < plan.last:
        epoch = step // plan.per_epoch
        stop = min(step + most, (epoch + 1) * plan.per_epoch)
        yield epoch, range(step, stop)
        step = stop


def _chosen(
    placed: PlacedImages, orders: Orders, plan: Plan, members: int | None
) -> Iterator[_Chosen]:
    """Steps, as many as are laid out at a time, with the numbers of their images."""
    drawn: Any = None
    known, order = None, np.empty(0)
    step_bytes = (members or 1) * plan.batch_size * placed.bytes_each
    most = steps_at_once(plan.per_epoch, step_bytes)
    for epoch, steps in _spans(plan, most):
        if epoch != known:
            known, drawn = epoch, orders(epoch)
            order = _on_host(drawn, placed.mesh)
        first = steps.start % plan.per_epoch * plan.batch_size
        # Always as many, of which the last may be of no use: they are one program.
        indices = np.minimum(first + np.arange(most * plan.batch_size), placed.n - 1)
        rows = order[..., indices].reshape(*order.shape[:-1], most, plan.batch_size)
        yield _Chosen(steps, rows, drawn)


def steps_at_once(per_epoch: int, step_bytes: int) -> int:
    """How many steps are laid out at a time: about as many every time of an epoch."""
    times = -(-per_epoch * step_bytes // _PIECE_BYTES)
    return -(-per_epoch // min(times, per_epoch))


def _on_host(order: Array, mesh: Mesh | None) -> Int[np.ndarray, "..."]:
    return np.asarray(order if mesh is None else put(order, everywhere(mesh)))


def _read_ahead(
    placed: PlacedImages, chosen: Iterator[_Chosen], axis: int
) -> Iterator[tuple[range, Batches]]:
    """Batches from the host, of which the next are read while devices work on those before.

    The thread that reads calls nothing of JAX: its settings are those of each thread by itself,
    and all processes have to begin programs for devices of all of them in the same order.
    """
    with ThreadPoolExecutor(1) as worker:
        reading: deque[tuple[_Chosen, Future[list[np.ndarray]]]] = deque()

        def first() -> tuple[range, Batches]:
            (steps, rows, like), parts = reading.popleft()
            laid = put_parts(placed, parts.result(), rows.shape, axis=axis, like=like)
            return steps, Batches(None, laid, steps.start)

        for each in chosen:
            reading.append((each, worker.submit(reader(placed, each.rows, axis=axis))))
            if len(reading) > 1:
                yield first()
        while reading:
            yield first()
