"""Models trained together in one program, recorded at chosen epochs, resumed where they stopped."""

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from jaxvae.files.whole import write_whole
from jaxvae.report.progress import SweepProgress
from jaxvae.runs import checkpoint
from jaxvae.training import (
    Ensemble,
    Member,
    TrainState,
    init_ensemble,
    steps_per_epoch,
    take_member,
    train_ensemble,
)
from jaxvae.training.ensemble import TrainerOf, ensemble_shapes
from jaxvae.training.memory import refuse_too_large

R = TypeVar("R", bound=tuple[Any, ...])

_MEMBERS = "members.json"

_logger = logging.getLogger("jaxvae")


def stable_groups(
    folder: Path, runs: Sequence[R], split: Callable[[Sequence[R]], Iterable[Sequence[R]]]
) -> list[list[R]]:
    """Runs that share a program.

    Those that began together stay together, so that their numbers do not depend on where they
    were interrupted, nor on the runs that were added later.

    Args:
        folder: of the groups, where `begin_group` wrote what they are.
        runs: all there are: NamedTuples of numbers.
        split: puts those that have not begun into groups.
    """
    begun = [
        members
        for file in sorted(folder.glob(f"*/{_MEMBERS}"))
        if (members := _members_in(file, type(runs[0])))
    ]
    known = {run for group in begun for run in group}
    return [*begun, *map(list, split([run for run in runs if run not in known]))]


def _members_in(file: Path, kind: type[R]) -> list[R]:
    """The runs of a group; none of one that cannot be read, whose runs begin anew."""
    try:
        # What is no regular file may have no end.
        found = json.loads(file.read_text(encoding="utf-8") if file.is_file() else "")
        members = [kind(*fields) for fields in found]
        if not isinstance(found, list) or not found:
            raise TypeError("expected a list")
        if not all(type(field) in (int, float) for run in members for field in run):
            raise TypeError("expected numbers")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        _logger.warning("%s cannot be read (%s): its runs are put together anew", file, error)
        return []
    return members


def begin_group(folder: Path, group: Sequence[tuple[float, ...]]) -> None:
    """Write what a group is before it is trained, for `stable_groups`."""
    write_whole(
        folder / _MEMBERS, lambda part: part.write_text(json.dumps(group), encoding="utf-8")
    )


def train_group(
    trainer_of: TrainerOf,
    members: Sequence[Member],
    images: jax.Array,
    *,
    epochs: Sequence[int],
    batch_size: int,
    record: Callable[[int, int, TrainState], None],
    resume: Path,
    progress: SweepProgress,
    start: Ensemble | None = None,
) -> Ensemble:
    """Train a group until the last epoch, stopping at each to record its members.

    Killed at any point and called again with the epochs that lack a record, it ends with the
    numbers of a group that was never interrupted.

    Args:
        trainer_of: `latents -> Trainer`.
        members: always the same for the same folder.
        images: uint8 `[n, h, w, c]`.
        epochs: at which to record, ascending; 0 is before training.
        batch_size: images a step and member.
        record: `record(index, epoch, state)` keeps what a member has learned, also where it
            has failed: then the state is not finite. Its arrays are those of the largest
            member, padded with zeros.
        resume: where the whole group is kept.
        progress: told of steps and of what is measured.
        start: where the group begins; None for untrained members.

    Returns:
        The group at the last epoch.
    """
    trainer = trainer_of(max(member.latents for member in members))
    per_epoch = steps_per_epoch(images, batch_size)
    refuse_too_large(ensemble_shapes(trainer_of, members))
    ensemble = _latest(resume, trainer_of, members, epochs[0] * per_epoch)
    if ensemble is None:
        ensemble = init_ensemble(trainer_of, members) if start is None else start
    for epoch in epochs:
        ensemble = train_ensemble(
            trainer,
            ensemble,
            images,
            epochs=epoch,
            batch_size=batch_size,
            report=progress.report,
            save=partial(_save, resume),
        )
        for index in range(len(members)):
            progress.note(f"measuring model {index + 1} of {len(members)} at epoch {epoch}")
            record(index, epoch, take_member(ensemble, index, trainer))
            progress.measured()
        # After the records: a group that goes on from here never lacks one.
        _save(resume, ensemble)
    return ensemble


def _latest(
    folder: Path, trainer_of: TrainerOf, members: Sequence[Member], last_step: int
) -> Ensemble | None:
    """Where the members stand, unless that is beyond what has to be recorded first."""
    return checkpoint.load_latest(folder, ensemble_shapes(trainer_of, members), last=last_step)


def _save(folder: Path, ensemble: Ensemble) -> None:
    checkpoint.save_latest(folder, int(jnp.max(ensemble.states.step)), ensemble)
