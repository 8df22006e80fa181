"""Epochs over images that stay on the devices, compiled, with a pause to report."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int, UInt8

from jaxvae.files.refusals import as_count
from jaxvae.platforms import jit_steps
from jaxvae.training.batches import Batches, Plan, batch_at, pieces
from jaxvae.training.mesh import everywhere, on_its_own_mesh, put
from jaxvae.training.placed import PlacedImages, place_images
from jaxvae.training.processes import are_several
from jaxvae.training.progress import Progress, Stretch, now_and_then
from jaxvae.training.trainer import Trainer, TrainState
from jaxvae.training.windows import Window, saving, windows
from jaxvae.typing import ArrayLike, Key


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


def steps_per_epoch(images: UInt8[ArrayLike, "n h w c"], batch_size: int) -> int:
    """Whole batches in one pass; the remainder is left out, another one each epoch.

    Raises:
        ValueError: for a batch_size that is no whole number from 1 to the number of images.
    """
    return whole_batches(len(images), batch_size)


def whole_batches(n: int, batch_size: int) -> int:
    """The number of steps in an epoch of n images, as `steps_per_epoch` counts them."""
    refusal = f"expected 1 <= batch_size <= {n} images, got {batch_size}"
    return n // as_count(batch_size, refusal, least=1, most=n)


def whole_epochs(epochs: int) -> int:
    """A number of epochs that there can be.

    Raises:
        ValueError: for what is no whole number of at least 0.
    """
    return as_count(epochs, f"expected a whole number of epochs, got {epochs}", least=0)


def refuse_uneven(batch_size: int, devices: int) -> None:
    """Refuse batches of which devices would take parts of different size.

    Raises:
        ValueError: says which batch would do.
    """
    if batch_size % devices:
        raise ValueError(
            f"expected a batch_size that {devices} devices share evenly, such as "
            f"{-(-batch_size // devices) * devices}, got {batch_size}"
        )


@on_its_own_mesh
def train(
    trainer: Trainer,
    state: TrainState,
    images: UInt8[ArrayLike, "n h w c"] | PlacedImages,
    *,
    epochs: int,
    batch_size: int,
    report: Callable[[Progress], None] = lambda progress: None,
    record: Callable[[Progress], None] = lambda progress: None,
    save: Callable[[TrainState], None] = lambda state: None,
    mesh: Mesh | None = None,
) -> TrainState:
    """Train until `epochs` epochs are complete, counted from the start of the run.

    A state that has done some of the steps goes on where it stands, with the
    numbers of a run that was never interrupted. Each epoch visits the images in
    a new order, drawn on the device from the key.

    Args:
        trainer: what a step is.
        state: where to go on.
        images: uint8 `[n, h, w, c]`, kept as bytes on the device, or where `place_images`
            finds room for them.
        epochs: total number of epochs to reach.
        batch_size: images a step.
        report: called about twice a second, and at the end unless training is interrupted, with the
            `Progress`.
        record: called as `report`, but after every run of steps, of which each epoch has at
            least one: for what keeps losses, not for an eye.
        save: called with the state that a run can go on from: every five minutes, and
            when a KeyboardInterrupt ends this one.
        mesh: devices that share every batch; all its axes are used. Losses, gradients and
            batch normalization are still those of the whole batch. Numbers are those of one
            device to rounding: sums over a batch are added up in another order.

    Returns:
        The state after the last step; with a mesh, on all its devices.

    Raises:
        NonFiniteLossError: at the first loss that is NaN or infinite.
        ValueError: for images that the trainer does not take, such as floats or channels
            first, a batch larger than the data, and one that the devices cannot share evenly,
            parts of an epoch, and a state with other names or shapes than those of the trainer.
    """
    placed = place_images(images, trainer.image_shape, mesh=mesh)
    per_epoch = whole_batches(placed.n, batch_size)
    last = whole_epochs(epochs) * per_epoch
    if placed.mesh is not None:
        refuse_uneven(batch_size, placed.mesh.size)
        state = put(state, everywhere(placed.mesh))
    run = partial(_run, trainer, batch_size=batch_size, mesh=placed.mesh)
    orders = partial(_order, state.key, n=placed.n)
    plan = Plan(int(state.step), last, per_epoch, batch_size)
    together, batches = are_several(placed.mesh), pieces(placed, orders, plan)
    with saving(save, together=together) as saver, now_and_then(report) as tell:
        for window, count, seconds in windows(run, batches, state, saver, together=together):
            state = window.state
            _refuse_non_finite(window, per_epoch)
            means = named(window.total, count)
            speed = count * batch_size / seconds
            progress = Progress(int(state.step), speed, means.pop("loss"), means)
            record(progress)
            tell(Stretch(progress, count, seconds))
    return state


def run_steps(
    trainer: Trainer,
    state: TrainState,
    batches: Batches,
    *,
    count: Int[Array, ""],
    batch_size: int,
    alive: Bool[Array, ""] | bool = True,
    mesh: Mesh | None = None,
) -> Window:
    """Train for up to `count` steps, stopping after a loss that is not finite.

    Args:
        trainer: what a step is.
        state: where to start.
        batches: batches of these steps.
        count: steps to take.
        batch_size: images a step.
        alive: whether to take any.
        mesh: devices that share every batch, or None.
    """
    last_step = state.step + count

    def step(state: TrainState) -> tuple[TrainState, Array, NamedTuple]:
        after = trainer.step(state, batch_at(batches, state.step, batch_size, mesh))
        return after if mesh is None else lax.with_sharding_constraint(after, everywhere(mesh))

    def body(window: Window) -> Window:
        state, loss, terms = step(window.state)
        total = jax.tree.map(jnp.add, window.total, (loss, terms))
        return Window(state, total, (loss, terms))

    def unfinished(window: Window) -> Bool[Array, ""]:
        return (window.state.step < last_step) & jnp.isfinite(window.last[0]) & alive

    zeros = jax.tree.map(jnp.zeros_like, jax.eval_shape(step, state)[1:])
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
        for index, number in np.ndenumerate(np.asarray(value)):
            numbers[" ".join([name, *map(str, index)])] = float(number) / divisor
    return numbers


@jit_steps(static_argnames=("trainer", "batch_size", "mesh"))
def _run(
    trainer: Trainer,
    state: TrainState,
    batches: Batches,
    count: Array,
    *,
    batch_size: int,
    mesh: Mesh | None,
) -> Window:
    return run_steps(trainer, state, batches, count=count, batch_size=batch_size, mesh=mesh)


@partial(jax.jit, static_argnames="n")
def _order(key: Key, epoch: Array, n: int) -> Array:
    return epoch_order(key, epoch, n)


def _refuse_non_finite(window: Window, per_epoch: int) -> None:
    last = named(window.last, 1.0)
    if not np.isfinite(last["loss"]):
        step = int(window.state.step) - 1
        raise NonFiniteLossError(step, step // per_epoch, last)
