"""Training that decides how large a bottleneck must be, within some minutes, and goes on later.

OUT/epochs-E        a sweep with trainings of E epochs, as `jaxvae sweep` has them: the longest
                    decides, shorter ones were trials of how long to train
OUT/advise.json     the settings
"""

import dataclasses
import itertools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import xarray as xr
from rich.console import Console

from jaxvae.advising.criteria import decided_bounds, used_latents
from jaxvae.advising.length import first_epochs, longer_epochs
from jaxvae.advising.reading import NoModelError, SweepReading, read_records
from jaxvae.advising.sentences import without_active
from jaxvae.analysis.sizing import Training, next_training
from jaxvae.files.words import counted
from jaxvae.grids.grid import Grid
from jaxvae.grids.records import gather
from jaxvae.grids.sweep import EXPERIMENT, SWEEP
from jaxvae.report.progress import SweepProgress, UnitProgress, sweep_progress
from jaxvae.runs.config import IMAGES, RunConfig
from jaxvae.runs.folder import (
    as_json,
    refuse_other_settings,
    stored_settings,
    write_settings,
)
from jaxvae.runs.images import dataset_of, known_images
from jaxvae.runs.sweep_run import RECORD_SUFFIX, RUNS
from jaxvae.sweeps.estimate import seconds_of, time_in_words
from jaxvae.sweeps.job import Job
from jaxvae.sweeps.records import read_run
from jaxvae.sweeps.work import work
from jaxvae.sweeps.workers import helpers
from jaxvae.training import steps_per_epoch

STUDY_FILE = "advise.json"
# A setting that follows from the images, and which folders of earlier versions lack.
_DERIVED = "fewest_latents"
# Models that an answer usually takes, for the estimate.
_USUAL_MODELS = 14


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """The settings of a study.

    Attributes:
        run: the settings that all models share, by the names of `RunConfig`.
        points: held-out images that the geometry of layers is measured on.
        epochs: number of epochs of all models; None for as many as a large model needs.
        fewest_latents: latents that the data need at least, where that is known: no smaller size
            is trained.
    """

    run: Mapping[str, Any]
    points: int
    epochs: int | None = None
    fewest_latents: int = 0

    def grid(self, epochs: int, training: Training) -> Grid:
        """The sweep of some sizes and seeds."""
        return Grid(
            run={**self.run, "epochs": epochs},
            settings=("latents",),
            values={"latents": training.sizes},
            seeds=tuple(range(training.seeds)),
            snapshots=min(2, epochs),
            points=self.points,
        )


class _TimeIsOverError(KeyboardInterrupt):
    """The minutes are over: the state of the model at work is saved, as at Ctrl-C."""


class StudyOutcome(NamedTuple):
    """The state of a study: its records, and what it would train next.

    Attributes:
        records: records of all models of the longest training that is done, or of the first where
            none is; None before the first model is done.
        wanted: what it would train next, None where it has come to its end.
        epochs: the epochs of what it would train next, or, at its end, of what was trained last:
            more than those of the records, where models of that training failed.
    """

    records: xr.Dataset | None
    wanted: Training | None
    epochs: int

    @property
    def on_length(self) -> str:
        """A sentence on a longer training that is not done yet, or has failed, if there is one."""
        if self.records is None:
            return ""
        epochs = int(self.records["epoch"].values[-1])
        if self.epochs == epochs:
            return ""
        if self.wanted is None:
            return (
                f"Models may improve after {epochs} epochs, but with {self.epochs} epochs some "
                f"failed: their loss was not finite. This is the answer for {epochs} epochs."
            )
        return f"Models may still improve: the same command continues with {self.epochs} epochs."


def do_study(
    study: Study,
    out: Path,
    first: Training,
    *,
    minutes: float,
    console: Console,
    command: str = "",
    processes: int = 1,
) -> StudyOutcome:
    """Train until the question is decided, nothing more would decide it, or the time is over.

    Where models of some size may still improve when all is decided, it is decided again with twice
    as many epochs. After the minutes the models at work are saved as they are.
    What is done is not done again: the same call goes on.

    Args:
        study: what is asked.
        out: the folder.
        first: sizes and seeds to begin with.
        minutes: minutes that training may take.
        console: for what is being done.
        command: command that asked for it, as it was typed.
        processes: how many train models at once, at most, this one among them.

    Raises:
        ValueError: for settings that cannot be trained, or others than those of the folder.
    """
    _begin(study, out, first)
    deadline = time.monotonic() + 60 * minutes
    console.print(
        f"{_estimate(study, out, first, processes)}; training stops after {minutes:g} minutes, and "
        "the same command continues",
        soft_wrap=True,
    )

    def train(epochs: int, training: Training) -> bool:
        grid, folder = study.grid(epochs, training), out / f"epochs-{epochs}"
        # A processor is filled by a few processes; an accelerator by a program of many models.
        members = 1 if jax.default_backend() == "cpu" else None
        job = Job(SWEEP, grid, folder, members=members, command=command)
        return _train(job, training, deadline, processes, console)

    epochs, in_time = _length(study, out, first, train, console)
    if not in_time:
        return StudyOutcome(_records(study, out, epochs, first), first, epochs)
    outcome = _decide(study, out, epochs, first, train)
    while outcome.wanted is None and (longer := _longer(study, outcome.records)):
        # Where models fail, what was decided with fewer epochs rests on more of them.
        kept = StudyOutcome(outcome.records, None, longer[0])
        try:
            again = _decide(study, out, *longer, train)
        except NoModelError:
            return kept
        if again.wanted is not None:
            return again._replace(records=outcome.records)
        if again.records is None or again.records["failed"].any():
            return kept
        outcome = again
    return outcome


def _decide(
    study: Study, out: Path, epochs: int, wanted: Training, train: Callable[[int, Training], bool]
) -> StudyOutcome:
    """Train models of some epochs until the question is decided or the time is over.

    Then it is answered from the last sizes and seeds that were all trained: of those on the way
    one would leave out whole sizes, or whole seeds.
    """
    whole = None
    while train(epochs, wanted):
        whole = _records(study, out, epochs, wanted)
        following = _next(read_records(whole), wanted) if whole is not None else None
        if following is None:
            return StudyOutcome(whole, None, epochs)
        wanted = following
    known = _records(study, out, epochs, wanted) if whole is None else whole
    return StudyOutcome(known, wanted, epochs)


def _longer(study: Study, records: xr.Dataset | None) -> tuple[int, Training] | None:
    """Twice the epochs and what to train with them, where models may still improve."""
    if study.epochs is not None or records is None:
        return None
    reading = read_records(records)
    epochs = longer_epochs(reading, _steps_per_epoch(study))
    if epochs is None:
        return None
    sizes = reading.sizes[reading.sizes >= decided_bounds(reading).insufficient]
    seeds = len(reading.seeds)
    return epochs, Training(tuple(sizes.tolist()), seeds, "models may still improve: train longer")


def _next(reading: SweepReading, done: Training) -> Training | None:
    # Where models have failed, nobody knows how others would do.
    if reading.obstacle:
        return None
    if len(reading.sizes) < 2 or len(reading.seeds) < min(2, done.seeds):
        return None
    # No size whose models failed is tried again, nor one below such a size at the lower end.
    failed = {*done.sizes} - {*reading.sizes.tolist()}
    smaller = [size + 1 for size in failed if size < reading.sizes[0]]
    fewest = max([reading.fewest_latents, *smaller])
    training = next_training(reading.sizes, reading.imbalance, fewest=fewest, failed=failed)
    if training is None and reading.has_few_images and used_latents(reading) not in failed:
        training = _as_many_as_are_used(reading)
    if training is None:
        return None
    sizes = tuple(sorted({*done.sizes, *training.sizes}))
    wanted = training._replace(sizes=sizes, seeds=max(training.seeds, done.seeds))
    return None if wanted[:2] == done[:2] else wanted


def _as_many_as_are_used(reading: SweepReading) -> Training | None:
    """A size with as many latents as models use, where it may be enough and a larger one is."""
    bounds, used = decided_bounds(reading), used_latents(reading)
    if bounds.sufficient is None or not bounds.insufficient < used < bounds.sufficient:
        return None
    sizes = tuple(sorted({*reading.sizes.tolist(), used}))
    return Training(sizes, len(reading.seeds), f"models use {used} latents: a model of as many")


def _length(
    study: Study,
    out: Path,
    first: Training,
    train: Callable[[int, Training], bool],
    console: Console,
) -> tuple[int, bool]:
    """The epochs of all models, and whether there was time to find them."""
    if study.epochs is not None:
        return study.epochs, True
    large = Training(first.sizes[-1:], 1, "how long to train")
    steps = _steps_per_epoch(study)
    epochs = first_epochs(steps)
    while train(epochs, large):
        trial = read_records(gather(study.grid(epochs, large), out / f"epochs-{epochs}"))
        longer = longer_epochs(trial, steps)
        then = f"all models get {epochs}" if longer is None else f"it is trained for {longer}"
        halfway, end = (float(each.min()) for each in (trial.earlier_imbalance, trial.imbalance))
        console.print(
            f"Δ(output→input) of a model of {large.sizes[0]} latents: {halfway:.3g} after half of "
            f"{epochs} epochs, {end:.3g} after all; {then} epochs",
            soft_wrap=True,
        )
        if unused := without_active(trial):
            console.print(unused, soft_wrap=True)
        if longer is None:
            return epochs, True
        epochs = longer
    return epochs, False


def _steps_per_epoch(study: Study) -> int:
    config = RunConfig(**study.run, epochs=1)
    return steps_per_epoch(dataset_of(config).train.images, config.batch_size)


def _records(study: Study, out: Path, epochs: int, training: Training) -> xr.Dataset | None:
    grid = study.grid(epochs, training)
    sweep = EXPERIMENT.sweep(grid, out / f"epochs-{epochs}")
    if len(sweep.missing()) == len(sweep.runs):
        return None
    # In the records, for whoever reads them later.
    return gather(grid, sweep.out).assign_attrs(fewest_latents=study.fewest_latents)


def _train(job: Job, training: Training, deadline: float, processes: int, console: Console) -> bool:
    """Do the units of a sweep by some processes; whether all are done in time."""
    _, sweep = job.open()
    left = sweep.unfinished()
    if not left:
        return True
    if time.monotonic() > deadline:
        return False
    epochs, units = sweep.epochs[-1], len(sweep.units)
    sizes = ", ".join(map(str, training.sizes))
    seeds = counted(training.seeds, "seed")
    asked = f"{training.reason}: sizes {sizes}, {seeds}, {epochs} epochs"
    console.print(asked, soft_wrap=True)
    own: set[str] = set()
    in_time = True
    try:
        with (
            helpers(job, min(processes, len(left)) - 1, console),
            sweep_progress(console, units=units, done=units - len(left)) as progress,
        ):
            shown = _until(deadline, progress, own)
            work(sweep, {unit.name for unit in left}, shown, wait=True)
    except _TimeIsOverError:
        in_time = False
    for unit in left:
        if unit.title not in own and sweep.is_done(unit):
            lines = [sweep.describe(name, read_run(sweep.out, name)) for name in unit.runs]
            console.print(f"{unit.title}: by another process", *lines, sep="\n  ", soft_wrap=True)
    return in_time


def _until(deadline: float, progress: SweepProgress, begun: set[str]) -> SweepProgress:
    """Progress that ends the work, once it has been reported and the time is over.

    Args:
        deadline: when it is over.
        progress: where it is reported.
        begun: receives the titles of the units that begin.
    """

    def refuse_late() -> None:
        if time.monotonic() > deadline:
            raise _TimeIsOverError

    def begin(title: str, *unit: Any) -> UnitProgress:
        refuse_late()
        begun.add(title)
        shown, reports = progress.begin(title, *unit), itertools.count()

        def report(training: Any) -> None:
            shown.report(training)
            # Nothing is there to be saved before the second report.
            if next(reports):
                refuse_late()

        return shown._replace(report=report)

    def note(text: str) -> None:
        progress.note(text)
        refuse_late()

    return progress._replace(begin=begin, note=note)


def _begin(study: Study, out: Path, first: Training) -> None:
    """Refuse what cannot be done, and write the settings."""
    file = out / STUDY_FILE
    stored = stored_settings(file)
    settings = as_json(dataclasses.asdict(study) | {"sizes": first.sizes})
    refuse_other_settings(file, stored, settings, extendable=(IMAGES, _DERIVED))
    EXPERIMENT.check(study.grid(study.epochs or 1, first))
    images = known_images(file, stored, [dataset_of(RunConfig(**study.run, epochs=1))])
    settings |= {IMAGES: images} if images else {}
    if stored != settings:
        write_settings(file, settings)


def _estimate(study: Study, out: Path, first: Training, processes: int) -> str:
    images = dataset_of(RunConfig(**study.run, epochs=1)).train.images
    # As many as were needed so far, where this goes on.
    names = [folder.name.removeprefix("epochs-") for folder in out.glob("epochs-*")]
    tried = [int(name) for name in names if name.isdecimal()]
    epochs = study.epochs or max([2 * first_epochs(_steps_per_epoch(study)), *tried])
    sweep = EXPERIMENT.sweep(study.grid(epochs, Training(first.sizes[-1:], 1, "")), out)
    per_model = seconds_of(sweep, sweep.units[0])
    done = len(list((out / f"epochs-{epochs}" / RUNS).glob(f"*{RECORD_SUFFIX}")))
    left = max(1, _USUAL_MODELS - done)
    rest = f"; {done} are done, and {left} more take" if done else ","
    shared = f", for one process, and {processes} share the work" if processes > 1 else ""
    return (
        f"{len(images):,} training images; an answer usually takes about {_USUAL_MODELS} models of "
        f"{epochs} epochs{rest} {time_in_words([per_model] * left)}{shared}"
    )
