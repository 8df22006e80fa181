"""The batches of the steps of a training, made of its images where these are kept.

Where every device has all images, a step takes its own. Where not, the batches of some steps are
laid out on the devices at a time; from the host while the steps before them run.
"""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Int, UInt8

from jaxvae.training.mesh import everywhere, put, split
from jaxvae.training.placed import PlacedImages, lay_out

# The batches that are laid out at a time take about so many bytes: long against a call, short
# against the memory.
_PIECE_BYTES = 32 * 2**20

Item = TypeVar("Item")
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
    laid = _laid(placed, orders, plan, members)
    # What devices collect from each other, all processes have to collect between the same steps.
    yield from _ahead(laid) if placed.storage == "host" else laid


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


def _laid(
    placed: PlacedImages, orders: Orders, plan: Plan, members: int | None
) -> Iterator[tuple[range, Batches]]:
    """Steps, as many as are laid out at a time, with their batches on the devices."""
    known, order = None, np.empty(0)
    step_bytes = (members or 1) * plan.batch_size * placed.bytes_each
    most = steps_at_once(plan.per_epoch, step_bytes)
    for epoch, steps in _spans(plan, most):
        if epoch != known:
            known, order = epoch, _on_host(orders(epoch), placed.mesh)
        first = steps.start % plan.per_epoch * plan.batch_size
        # Always as many, of which the last may be of no use: they are one program.
        indices = np.minimum(first + np.arange(most * plan.batch_size), placed.n - 1)
        rows = order[..., indices].reshape(*order.shape[:-1], most, plan.batch_size)
        laid = lay_out(placed, rows, axis=0 if members else 1)
        yield steps, Batches(None, laid, steps.start)


def steps_at_once(per_epoch: int, step_bytes: int) -> int:
    """How many steps are laid out at a time: about as many every time of an epoch."""
    times = -(-per_epoch * step_bytes // _PIECE_BYTES)
    return -(-per_epoch // min(times, per_epoch))


def _on_host(order: Array, mesh: Mesh | None) -> Int[np.ndarray, "..."]:
    return np.asarray(order if mesh is None else put(order, everywhere(mesh)))


def _ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same batches, each being made while the one before is used."""
    with ThreadPoolExecutor(1) as worker:
        upcoming = worker.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = worker.submit(next, items, None)
            yield item
