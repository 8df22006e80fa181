"""Epochs over images that stay on the device, compiled, with a pause to report."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, UInt8

from jaxvae.geometry.arrays import as_count
from jaxvae.training.images import training_images
from jaxvae.training.signals import heard, heed
from jaxvae.training.trainer import Trainer, TrainState
from jaxvae.typing import ArrayLike, Key

# Seconds of steps between two reports: long against the call, short for an eye.
_REPORT_SECONDS = 0.5
# Seconds of work that a kill may cost: long against the time to save a state.
_SAVE_SECONDS = 300.0


class Progress(NamedTuple):
    """Where a run stands, for a progress bar.

    Attributes:
        step: steps taken since the start of the run.
        images_per_second: over the last report.
        loss: mean over the steps of the last report, nats per image.
        terms: the same for every term, by name.
        failed: members of an ensemble that have stopped.
    """

    step: int
    images_per_second: float
    loss: float
    terms: dict[str, float]
    failed: int = 0


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite; nothing was saved since.

    Attributes:
        step: the step whose loss it was.
        terms: loss and terms at that step.
    """

    def __init__(self, step: int, epoch: int, terms: dict[str, float]):
        listed = ", ".join(f"{name} {value:g}" for name, value in terms.items())
        super().__init__(
            f"the loss is not finite at step {step} (epoch {epoch}): {listed}; "
            "snapshots before it are kept; try a smaller learning rate"
        )
        self.step = step
        self.terms = terms


class Window(NamedTuple):
    """Some steps of a run: where it stands after them, and what they gave.

    Attributes:
        state: after the last step.
        total: loss and terms, summed over the steps.
        last: loss and terms of the last step.
    """

    state: Any
    total: tuple[Float[Array, "*members"], NamedTuple]
    last: tuple[Float[Array, "*members"], NamedTuple]


def steps_per_epoch(images: UInt8[ArrayLike, "n h w c"], batch_size: int) -> int:
    """Whole batches in one pass; the remainder is left out, another one each epoch.

    Raises:
        ValueError: if there are fewer images than a batch takes.
    """
    n = len(images)
    refusal = f"expected 1 <= batch_size <= {n} images, got {batch_size}"
    return n // as_count(batch_size, refusal, least=1, most=n)


def train(
    trainer: Trainer,
    state: TrainState,
    images: UInt8[Array, "n h w c"],
    *,
    epochs: int,
    batch_size: int,
    report: Callable[[Progress], None] = lambda progress: None,
    save: Callable[[TrainState], None] = lambda state: None,
) -> TrainState:
    """Train until `epochs` epochs are complete, counted from the start of the run.

    A state that has done some of the steps goes on where it stands, with the
    numbers of a run that was never interrupted. Each epoch visits the images in
    a new order, drawn on the device from the key.

    Args:
        trainer: what a step is.
        state: where to go on.
        images: uint8 `[n, h, w, c]`, kept on the device as bytes.
        epochs: total number of epochs to reach.
        batch_size: images a step.
        report: called about twice a second with the `Progress`.
        save: called with the state that a run can go on from: every five minutes, and
            when a KeyboardInterrupt ends this one.

    Returns:
        The state after the last step.

    Raises:
        NonFiniteLossError: at the first loss that is NaN or infinite.
        ValueError: for images that the trainer does not take, such as floats or channels
            first, and a batch larger than the data.
    """
    images = training_images(images, trainer.image_shape)
    per_epoch = steps_per_epoch(images, batch_size)
    run = partial(_run, trainer, images, batch_size=batch_size)
    orders = partial(_order, n=len(images))
    plan = Plan(int(state.step), epochs * per_epoch, per_epoch)
    with saving(save) as saver:
        for window, count, seconds in windows(run, orders, state, plan, saver):
            state = window.state
            _refuse_non_finite(window, per_epoch)
            means = named(window.total, count)
            speed = count * batch_size / seconds
            report(Progress(int(state.step), speed, means.pop("loss"), means))
    return state


class Plan(NamedTuple):
    """Steps taken so far, to be taken in the end, and in an epoch."""

    first: int
    last: int
    per_epoch: int


def windows(
    run: Callable[[Any, Array, int], Window],
    orders: Callable[[Any, int], Array],
    state: Any,
    plan: Plan,
    saver: Callable[[Any], None],
) -> Iterator[tuple[Window, int, float]]:
    """Runs of steps, none over the end of an epoch, each long enough to report on.

    Args:
        run: `(state, order, count) -> Window`.
        orders: `(state, epoch) -> order`.
        state: where to start.
        plan: from which step to which.
        saver: of `saving`; is told every state.

    Yields:
        A window, its steps, and the seconds that it took.
    """
    step, patience = plan.first, 1
    order = orders(state, step // plan.per_epoch)
    while step < plan.last:
        if step % plan.per_epoch == 0:
            order = orders(state, step // plan.per_epoch)
        count = min(patience, plan.per_epoch - step % plan.per_epoch)
        start = time.perf_counter()
        window = jax.block_until_ready(run(state, order, count))
        seconds = time.perf_counter() - start
        state, step = window.state, step + count
        yield window, count, seconds
        saver(state)
        heed()
        patience = max(1, min(2 * patience, int(count * _REPORT_SECONDS / seconds)))


@contextmanager
def saving(save: Callable[[Any], None]) -> Iterator[Callable[[Any], None]]:
    """Saves every five minutes, and the latest state when a KeyboardInterrupt comes."""
    latest, saved = None, time.perf_counter()

    def saver(state: Any) -> None:
        nonlocal latest, saved
        latest = state
        if time.perf_counter() - saved > _SAVE_SECONDS:
            save(state)
            saved = time.perf_counter()

    try:
        yield saver
    except KeyboardInterrupt:
        heard()
        if latest is not None:
            save(latest)
        raise


def run_steps(
    trainer: Trainer,
    images: UInt8[Array, "n h w c"],
    state: TrainState,
    order: Int[Array, " n"],
    *,
    count: Int[Array, ""],
    batch_size: int,
    alive: Bool[Array, ""] | bool = True,
) -> Window:
    """Up to `count` steps within one epoch, stopping after a loss that is not finite.

    Args:
        trainer: what a step is.
        images: to draw batches from.
        state: where to start.
        order: of the images in this epoch.
        count: steps to take.
        batch_size: images a step.
        alive: whether to take any.
    """
    per_epoch = len(images) // batch_size
    last_step = state.step + count

    def body(window: Window) -> Window:
        first = window.state.step % per_epoch * batch_size
        batch = images[lax.dynamic_slice(order, (first,), (batch_size,))]
        state, loss, terms = trainer.step(window.state, batch)
        total = jax.tree.map(jnp.add, window.total, (loss, terms))
        return Window(state, total, (loss, terms))

    def unfinished(window: Window) -> Bool[Array, ""]:
        return (window.state.step < last_step) & jnp.isfinite(window.last[0]) & alive

    shapes = jax.eval_shape(trainer.step, state, images[:batch_size])[1:]
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return lax.while_loop(unfinished, body, Window(state, zeros, zeros))


def epoch_order(key: Key, epoch: int | Int[Array, ""], n: int) -> Int[Array, " n"]:
    """The order in which an epoch visits its n images."""
    # Steps fold in whole numbers from 0: epochs take a branch of their own.
    epochs_key = jax.random.fold_in(key, jnp.uint32(2**32 - 1))
    return jax.random.permutation(jax.random.fold_in(epochs_key, epoch), n)


def named(values: tuple[Array, NamedTuple], divisor: float) -> dict[str, float]:
    """Loss and terms by name, each divided; terms of several numbers get one name each."""
    loss, terms = values
    numbers = {}
    for name, value in {"loss": loss, **terms._asdict()}.items():
        for place, number in np.ndenumerate(np.asarray(value)):
            numbers[" ".join([name, *map(str, place)])] = float(number) / divisor
    return numbers


@partial(jax.jit, static_argnames=("trainer", "batch_size"))
def _run(
    trainer: Trainer,
    images: Array,
    state: TrainState,
    order: Array,
    count: Array,
    *,
    batch_size: int,
) -> Window:
    return run_steps(trainer, images, state, order, count=count, batch_size=batch_size)


@partial(jax.jit, static_argnames="n")
def _order(state: TrainState, epoch: Array, n: int) -> Array:
    return epoch_order(state.key, epoch, n)


def _refuse_non_finite(window: Window, per_epoch: int) -> None:
    last = named(window.last, 1.0)
    if not jnp.isfinite(last["loss"]):
        step = int(window.state.step) - 1
        raise NonFiniteLossError(step, step // per_epoch, last)
