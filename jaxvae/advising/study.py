"""Training that decides how large a bottleneck must be, within some minutes, and goes on later.

OUT/epochs-E        a sweep with trainings of E epochs, as `jaxvae sweep` has them: the longest
                    decides, shorter ones were trials of how long to train
OUT/advise.json     the settings
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import xarray as xr
from rich.console import Console

from jaxvae.advising.length import Trial, first_epochs, longer_epochs
from jaxvae.advising.reading import Reading, read_records
from jaxvae.analysis.sizing import Training, next_training
from jaxvae.grids.grid import Grid
from jaxvae.grids.records import gather
from jaxvae.grids.sweep import EXPERIMENT
from jaxvae.report.progress import sweep_progress
from jaxvae.runs.config import IMAGES, RunConfig
from jaxvae.runs.folder import (
    as_json,
    refuse_other_settings,
    stored_settings,
    write_settings,
)
from jaxvae.runs.images import dataset_of, known_images
from jaxvae.sweeps.estimate import in_words, seconds_of
from jaxvae.sweeps.sweep import Sweep
from jaxvae.sweeps.work import work
from jaxvae.training import steps_per_epoch

SETTINGS = "advise.json"
# Models that an answer usually takes, for the estimate.
_USUAL_MODELS = 14


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """The settings of a study.

    Attributes:
        run: the settings that all models share, by the names of `RunConfig`.
        points: held-out images that the geometry of layers is measured on.
        epochs: number of epochs of all models; None for as many as a large model needs.
    """

    run: Mapping[str, Any]
    points: int
    epochs: int | None = None

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


class StudyOutcome(NamedTuple):
    """The state of a study: its records, and what it would train next.

    Attributes:
        records: records of all models of the longest training, None before the first is done.
        wanted: what it would train next, None where it has come to its end.
    """

    records: xr.Dataset | None
    wanted: Training | None


def do_study(
    study: Study,
    out: Path,
    first: Training,
    *,
    minutes: float,
    console: Console,
    command: str = "",
) -> StudyOutcome:
    """Train until the question is decided, nothing more would decide it, or the time is over.

    Time is looked at between models. What is done is not done again: the same call goes on.

    Args:
        study: what is asked.
        out: the folder.
        first: sizes and seeds to begin with.
        minutes: minutes that training may take.
        console: for what is being done.
        command: command that asked for it, as it was typed.

    Raises:
        ValueError: for settings that cannot be trained, or others than those of the folder.
    """
    _begin(study, out, first)
    deadline = time.monotonic() + 60 * minutes
    _estimate(study, out, first, minutes, console)

    def train(epochs: int, training: Training) -> bool:
        grid, folder = study.grid(epochs, training), out / f"epochs-{epochs}"
        sweep = dataclasses.replace(EXPERIMENT.sweep(grid, folder), command=command)
        return _train(sweep, training, deadline, console)

    epochs, in_time = _length(study, out, first, train)
    wanted: Training | None = first
    records = None
    while wanted is not None:
        in_time = in_time and train(epochs, wanted)
        records = _records(study, out, epochs, wanted) or records
        if not in_time:
            break
        reading = read_records(records) if records is not None else None
        wanted = _next(reading, wanted)
    return StudyOutcome(records, wanted)


def _next(reading: Reading | None, done: Training) -> Training | None:
    # Of models that have failed nobody knows how others would do.
    if reading is None or reading.obstacle:
        return None
    if len(reading.sizes) < 2 or len(reading.seeds) < min(2, done.seeds):
        return None
    training = next_training(reading.sizes, reading.imbalance)
    if training is None:
        return None
    sizes = tuple(sorted({*done.sizes, *training.sizes}))
    wanted = training._replace(sizes=sizes, seeds=max(training.seeds, done.seeds))
    return None if wanted[:2] == done[:2] else wanted


def _length(
    study: Study, out: Path, first: Training, train: Callable[[int, Training], bool]
) -> tuple[int, bool]:
    """The epochs of all models, and whether there was time to find them."""
    if study.epochs is not None:
        return study.epochs, True
    large = Training(first.sizes[-1:], 1, "how long to train")
    config = RunConfig(**study.run, epochs=1)
    epochs = first_epochs(steps_per_epoch(dataset_of(config).train.images, config.batch_size))
    while train(epochs, large):
        longer = longer_epochs(_trial(gather(study.grid(epochs, large), out / f"epochs-{epochs}")))
        if longer is None:
            return epochs, True
        epochs = longer
    return epochs, False


def _trial(records: xr.Dataset) -> Trial:
    """The result of one model, at half of its training and at the end."""
    imbalance = records["imbalance"].sel(layer="output", other_layer="input").values.reshape(-1)
    return Trial(
        epochs=int(records["epoch"].values[-1]),
        imbalance=(float(imbalance[0]), float(imbalance[-1])),
        has_learned=read_records(records).has_learned,
    )


def _records(study: Study, out: Path, epochs: int, training: Training) -> xr.Dataset | None:
    grid = study.grid(epochs, training)
    sweep = EXPERIMENT.sweep(grid, out / f"epochs-{epochs}")
    return gather(grid, sweep.out) if len(sweep.missing()) < len(sweep.runs) else None


def _train(sweep: Sweep, training: Training, deadline: float, console: Console) -> bool:
    """Do the runs of a sweep one unit after another; whether all are done in time."""
    # One model fills the cores of a processor; an accelerator holds many.
    on_host = jax.default_backend() == "cpu"
    sweep = dataclasses.replace(sweep, members=1 if on_host else None)
    left = sweep.unfinished()
    if not left:
        return True
    sizes = ", ".join(map(str, training.sizes))
    seeds = f"{training.seeds} seed{'s' * (training.seeds != 1)}"
    console.print(f"{training.reason}: sizes {sizes}, {seeds}, {sweep.epochs[-1]} epochs")
    units = len(sweep.units)
    with sweep_progress(console, units=units, done=units - len(left)) as progress:
        for unit in left:
            if time.monotonic() > deadline:
                return False
            work(sweep, {unit.name}, progress, wait=True)
    return True


def _begin(study: Study, out: Path, first: Training) -> None:
    """Refuse what cannot be done, and write the settings."""
    file = out / SETTINGS
    stored = stored_settings(file)
    settings = as_json(dataclasses.asdict(study) | {"sizes": first.sizes})
    refuse_other_settings(file, stored, settings, extendable=(IMAGES,))
    EXPERIMENT.check(study.grid(study.epochs or 1, first))
    images = known_images(file, stored, [dataset_of(RunConfig(**study.run, epochs=1))])
    settings |= {IMAGES: images} if images else {}
    if stored != settings:
        write_settings(file, settings)


def _estimate(study: Study, out: Path, first: Training, minutes: float, console: Console) -> None:
    config = RunConfig(**study.run, epochs=1)
    images = dataset_of(config).train.images
    epochs = study.epochs or 2 * first_epochs(steps_per_epoch(images, config.batch_size))
    sweep = EXPERIMENT.sweep(study.grid(epochs, Training(first.sizes[-1:], 1, "")), out)
    per_model = seconds_of(sweep, sweep.units[0])
    console.print(
        f"{len(images):,} training images; an answer usually takes about {_USUAL_MODELS} models of "
        f"{epochs} epochs, {in_words([per_model] * _USUAL_MODELS)}; training stops after "
        f"{minutes:g} minutes, and the same command continues",
        soft_wrap=True,
    )
