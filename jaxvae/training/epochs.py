"""Epochs over images that stay on the device, compiled, with a pause to report."""

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int, UInt8

from jaxvae.training.trainer import Trainer, TrainState
from jaxvae.typing import ArrayLike, Key

# Seconds of steps between two reports: long against the call, short for an eye.
_REPORT_SECONDS = 0.5


class Progress(NamedTuple):
    """Where a run stands, for a progress bar.

    Attributes:
        step: steps taken since the start of the run.
        images_per_second: over the last report.
        loss: mean over the steps of the last report, nats per image.
        terms: the same for every term, by name.
    """

    step: int
    images_per_second: float
    loss: float
    terms: dict[str, float]


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


class _Window(NamedTuple):
    """Sums over the steps since the last report, and the last step's values."""

    state: TrainState
    total: tuple[Array, NamedTuple]
    last: tuple[Array, NamedTuple]


def steps_per_epoch(images: UInt8[ArrayLike, "n h w c"], batch_size: int) -> int:
    """Whole batches in one pass; the remainder is left out, another one each epoch.

    Raises:
        ValueError: if there are fewer images than a batch takes.
    """
    if not 1 <= batch_size <= len(images):
        raise ValueError(f"expected 1 <= batch_size <= {len(images)} images, got {batch_size}")
    return len(images) // batch_size


def train(
    trainer: Trainer,
    state: TrainState,
    images: UInt8[Array, "n h w c"],
    *,
    epochs: int,
    batch_size: int,
    report: Callable[[Progress], None] = lambda progress: None,
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

    Returns:
        The state after the last step.

    Raises:
        NonFiniteLossError: at the first loss that is NaN or infinite.
        ValueError: for a batch larger than the data.
    """
    per_epoch = steps_per_epoch(images, batch_size)
    images = jnp.asarray(images)
    step, patience = int(state.step), 1
    while step < epochs * per_epoch:
        count = min(patience, per_epoch - step % per_epoch)
        start = time.perf_counter()
        window = _run_steps(trainer, state, images, count, batch_size)
        state = window.state
        _refuse_non_finite(window, per_epoch)
        seconds = time.perf_counter() - start
        step += count
        report(_progress(window, step, count, count * batch_size / seconds))
        patience = max(1, min(2 * patience, int(count * _REPORT_SECONDS / seconds)))
    return state


@partial(jax.jit, static_argnames=("trainer", "batch_size"))
def _run_steps(
    trainer: Trainer,
    state: TrainState,
    images: UInt8[Array, "n h w c"],
    count: Int[Array, ""],
    batch_size: int,
) -> _Window:
    """Up to `count` steps within one epoch, stopping after a loss that is not finite."""
    per_epoch = steps_per_epoch(images, batch_size)
    order = epoch_order(state.key, state.step // per_epoch, len(images))
    last_step = state.step + count

    def body(window: _Window) -> _Window:
        first = window.state.step % per_epoch * batch_size
        batch = images[lax.dynamic_slice(order, (first,), (batch_size,))]
        state, loss, terms = trainer.step(window.state, batch)
        total = jax.tree.map(jnp.add, window.total, (loss, terms))
        return _Window(state, total, (loss, terms))

    def unfinished(window: _Window) -> Bool[Array, ""]:
        return (window.state.step < last_step) & jnp.isfinite(window.last[0])

    shapes = jax.eval_shape(trainer.step, state, images[:batch_size])[1:]
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return lax.while_loop(unfinished, body, _Window(state, zeros, zeros))


def epoch_order(key: Key, epoch: Int[Array, ""], n: int) -> Int[Array, " n"]:
    """The order in which an epoch visits its n images."""
    # Steps fold in whole numbers from 0: epochs take a branch of their own.
    epochs_key = jax.random.fold_in(key, jnp.uint32(2**32 - 1))
    return jax.random.permutation(jax.random.fold_in(epochs_key, epoch), n)


def _named(values: tuple[Array, NamedTuple], divisor: float) -> dict[str, float]:
    loss, terms = values
    return {
        name: float(value) / divisor for name, value in {"loss": loss, **terms._asdict()}.items()
    }


def _progress(window: _Window, step: int, count: int, images_per_second: float) -> Progress:
    means = _named(window.total, count)
    return Progress(step, images_per_second, means.pop("loss"), means)


def _refuse_non_finite(window: _Window, per_epoch: int) -> None:
    last = _named(window.last, 1.0)
    if not jnp.isfinite(last["loss"]):
        step = int(window.state.step) - 1
        raise NonFiniteLossError(step, step // per_epoch, last)
