"""A run in its folder: snapshots to analyze, and a state to go on from after a kill.

run.json            what it was told (`jaxvae.runs.config`)
snapshots/step-*    variables, averaged where the optimizer does, at chosen epochs
resume/step-*       the latest two whole `TrainState`s

All of them appear whole or not at all, and are verified when they are read.
"""

import logging
import math
import os
from collections.abc import Callable, Collection
from contextlib import nullcontext
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import UInt8

from jaxvae.files.refusals import as_count
from jaxvae.runs import checkpoint
from jaxvae.runs.building import key_of
from jaxvae.runs.checkpoint import RESUME, SNAPSHOTS
from jaxvae.training.epochs import NonFiniteLossError, train, whole_batches
from jaxvae.training.mesh import everywhere, in_line, shapes_on
from jaxvae.training.placed import PlacedImages, place_images
from jaxvae.training.processes import are_several
from jaxvae.training.progress import Progress
from jaxvae.training.signals import postponed
from jaxvae.training.stability import evaluation_variables
from jaxvae.training.trainer import Trainer, TrainState
from jaxvae.typing import ArrayLike

RUN_FILE = "run.json"

_logger = logging.getLogger("jaxvae")


def train_run(
    trainer: Trainer,
    state: TrainState,
    images: UInt8[ArrayLike, "n h w c"] | PlacedImages,
    *,
    folder: Path,
    epochs: int,
    batch_size: int,
    snapshots: int = 1,
    begun: int = 0,
    report: Callable[[Progress], None] = lambda progress: None,
    record: Callable[[Progress], None] = lambda progress: None,
    mesh: Mesh | None = None,
) -> TrainState:
    """Train until `epochs` epochs are complete, keeping what was done in a folder.

    Killed at any point and called again with `latest_state`, it ends with the numbers of a
    run that was never interrupted; at most five minutes of work are lost, and none to a
    KeyboardInterrupt.

    Args:
        trainer: what a step is.
        state: where to go on.
        images: as for `train`.
        folder: folder of the run.
        epochs: total number of epochs to reach.
        batch_size: images a step.
        snapshots: so many, evenly spaced in epochs; the last one is of the end.
        begun: epochs of another run that this one began with.
        report: called about twice a second, and at every snapshot, with the `Progress`.
        record: called after every run of steps, as for `train`.
        mesh: devices that share every batch, as for `train`. A run may go on with others.

    Returns:
        The state after the last step.

    Raises:
        NonFiniteLossError: at the first loss, or parameter at a snapshot, that is NaN or
            infinite; what was kept before stays.
        ValueError: for images that the trainer does not take, a batch larger than the data,
            and more snapshots than epochs.
    """
    folder = Path(os.path.expanduser(folder))
    placed = place_images(images, trainer.image_shape, mesh=mesh)
    per_epoch = whole_batches(placed.n, batch_size)

    def keep(state: TrainState) -> None:
        checkpoint.save_latest(folder / RESUME, int(state.step), state)

    damaged = checkpoint.damaged_steps(folder / SNAPSHOTS)
    # None of several processes may end while the others wait for it: `train` sees to that.
    with postponed() if are_several(mesh) else nullcontext():
        for epoch in snapshot_epochs(epochs, snapshots, begun=begun):
            last = epoch * per_epoch
            taken = last in checkpoint.steps(folder / SNAPSHOTS) and last not in damaged
            if int(state.step) > last or (int(state.step) == last and taken):
                continue
            state = train(
                trainer,
                state,
                placed,
                epochs=epoch,
                batch_size=batch_size,
                report=report,
                record=record,
                save=keep,
                mesh=mesh,
            )
            # `train` no longer keeps the state of an interrupted run: until it is kept, wait.
            with postponed():
                _refuse_non_finite(state, epoch)
                checkpoint.save(folder / SNAPSHOTS, last, evaluation_variables(state))
                # After the snapshot: a run that goes on from here never lacks it.
                keep(state)
    return state


def latest_state(
    trainer: Trainer,
    folder: Path,
    first: Callable[[], TrainState],
    *,
    wanted: Collection[int] = (),
    mesh: Mesh | None = None,
) -> TrainState:
    """The state from which a run goes on: the latest one in its folder, or its first.

    What is damaged or lost is said. Where that is a state, the one before it is taken; where it
    is a wanted snapshot, one that leads there, so that it is made again. With snapshots that
    are not wanted, the run was told other epochs before: then none counts as lost.

    Args:
        trainer: trainer of the run.
        folder: folder of the run.
        first: gives the state that it begins with.
        wanted: steps of the snapshots that the run is to have.
        mesh: devices that go on; those of several processes read what they need.

    Raises:
        ValueError: if the state is one of another trainer.
    """
    damage = {**_lost(folder, wanted), **checkpoint.damaged_steps(folder / SNAPSHOTS)}
    again = [step for step in damage if step in wanted]
    for step in again:
        _logger.warning("%s: it is made again", damage[step])
    like = jax.eval_shape(trainer.init, key_of(0))
    if mesh is not None:
        like = shapes_on(like, everywhere(in_line(mesh)))
    saved = checkpoint.load_latest(folder / RESUME, like, last=min(again, default=math.inf))
    return first() if saved is None else saved


def _lost(folder: Path, wanted: Collection[int]) -> dict[int, str]:
    """The wanted snapshots that the run has passed and that are not there."""
    steps = checkpoint.steps(folder / SNAPSHOTS)
    done = max([latest_step(folder), *steps])
    if not {*steps} <= {*wanted}:
        return {}
    snapshots = folder / SNAPSHOTS
    return {
        step: f"the snapshot of step {step} is absent from {snapshots}"
        for step in wanted
        if step <= done and step not in steps
    }


def latest_step(folder: Path) -> int:
    """The steps that a run in this folder has kept; 0 without any."""
    return max(checkpoint.steps(folder / RESUME), default=0)


def snapshot_epochs(epochs: int, count: int, *, begun: int = 0) -> tuple[int, ...]:
    """The epochs of snapshots, evenly spaced after those that a run began with, up to the last.

    Raises:
        ValueError: for none, and for more than there are epochs.
    """
    new = epochs - begun
    refusal = f"expected 1 to {new} snapshots of {new} epochs, got {count}"
    count = as_count(count, refusal, least=1, most=new)
    return tuple(begun + round(new * number / count) for number in range(1, count + 1))


def _refuse_non_finite(state: TrainState, epoch: int) -> None:
    """The update after the last loss that training has seen can still diverge."""
    # Checked on the host: on the device every shape would need a program of its own.
    if not all(
        np.isfinite(leaf).all() for leaf in jax.device_get(jax.tree.leaves(state.variables))
    ):
        raise NonFiniteLossError(int(state.step), epoch, {"parameters": float("nan")})
