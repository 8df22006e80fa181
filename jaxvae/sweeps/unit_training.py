"""The runs of a unit: trained together, measured on the way, recorded at the end.

OUT/units/UNIT/snapshots/step-*          variables of all runs, stacked; at last of the last epoch
OUT/units/UNIT/replicates/step-*         the same after another last epoch, while at work
OUT/units/UNIT/epoch-*.npz               what was measured there, while the unit is at work
OUT/units/UNIT/resume/step-*             the state to go on from, while the unit is at work
OUT/units/UNIT/resume-replicates/step-*  the same within another last epoch

Killed at any point and done again, by any process, a unit ends with the same records.
"""

import shutil
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxvae.data import Dataset
from jaxvae.files.numpy_files import read_archive, verify_archive
from jaxvae.files.whole import remove_leftovers
from jaxvae.models import HVAE, VAE, Variables
from jaxvae.report.progress import UnitProgress
from jaxvae.runs import checkpoint
from jaxvae.runs.building import run_keys
from jaxvae.runs.checkpoint import RESUME, SNAPSHOTS
from jaxvae.runs.config import RunConfig
from jaxvae.runs.sweep_run import (
    UNITS,
    Place,
    latents_of,
    model_of,
    program_of,
    stacked_variables,
)
from jaxvae.sweeps.records import Arrays, done_runs, write_arrays, write_run
from jaxvae.sweeps.sweep import PART, Sweep, Trained
from jaxvae.sweeps.units import Unit, member_of, trainer_of, unit_name
from jaxvae.training import (
    Ensemble,
    Trainer,
    evaluation_variables,
    init_ensemble,
    place_images,
    replicated_ensemble,
    steps_per_epoch,
    train_ensemble,
)
from jaxvae.training.members import ensemble_shapes, unstack_one
from jaxvae.training.memory import refuse_too_large
from jaxvae.training.mesh import gathered, rows_of
from jaxvae.training.windows import saving
from jaxvae.typing import ImageShape

_REPLICATES = "replicates"
# What is recorded of every epoch, and of the last alone.
_KINDS = ("every", "last")


class _UnitWork(NamedTuple):
    """The work on one unit.

    Attributes:
        sweep: sweep that it is a part of.
        names: names of the runs that it trains.
        configs: configurations of the same runs.
        folder: folder of the unit.
        latents: number of latents of the arrays that hold every bottleneck.
        image_shape: shape of the data.
        dataset: data set that all runs are trained on.
        progress: told of steps and measurements.
    """

    sweep: Sweep
    names: tuple[str, ...]
    configs: tuple[RunConfig, ...]
    folder: Path
    latents: int
    image_shape: ImageShape
    dataset: Dataset
    progress: UnitProgress

    def trainer(self, latents: int) -> Trainer:
        """The trainer of a model with so many latents."""
        program = program_of(self.configs[0], latents)
        return trainer_of(program, self.image_shape, len(self.dataset.train.images))

    @property
    def model(self) -> VAE | HVAE:
        """The largest."""
        return model_of(program_of(self.configs[0], self.latents), self.image_shape)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of every run."""
        return steps_per_epoch(self.dataset.train.images, self.configs[0].batch_size)


def train_unit(sweep: Sweep, unit: Unit, progress: UnitProgress) -> tuple[str, ...]:
    """Train and measure the runs of a unit that are not done, and record them.

    The unit is under way until `tidy_unit`.

    Args:
        sweep: sweep that it is a part of.
        unit: unit of some runs, which this process holds.
        progress: told of steps and measurements.

    Returns:
        The names of the runs that were trained.
    """
    lacking = _lacking(sweep, unit)
    if lacking:
        _refuse_together(sweep, unit, len(lacking))
        _train_runs(sweep, unit, lacking, progress)
    return lacking


def tidy_unit(sweep: Sweep, unit: Unit) -> None:
    """Remove what the training of a unit needed to go on, without which it is done."""
    for folder in (sweep.out / UNITS).glob(f"{unit.name}*/{RESUME}"):
        _tidy(folder.parent, sweep.epochs[-1])


def refuse_large_unit(sweep: Sweep, unit: Unit) -> None:
    """Refuse a unit of which the runs that are not done do not fit together in the memory there is.

    Raises:
        ValueError: says how much is needed, how much there is, and what to do.
    """
    if lacking := _lacking(sweep, unit):
        _refuse_together(sweep, unit, len(lacking))


def _refuse_together(sweep: Sweep, unit: Unit, members: int) -> None:
    """Refuse so many runs of a unit that do not fit together."""
    devices = 1 if sweep.mesh is None else sweep.mesh.size
    refuse_too_large(unit.bytes // len(unit.runs), members=members, devices=devices)


def _train_runs(sweep: Sweep, unit: Unit, names: tuple[str, ...], progress: UnitProgress) -> None:
    """Train, measure and record some runs of a unit, or all of them."""
    part = "" if names == unit.runs else f"{PART}{unit_name(names)}"
    folder = sweep.out / UNITS / f"{unit.name}{part}"
    remove_leftovers(folder)
    configs = tuple(sweep.runs[name] for name in names)
    dataset = sweep.load(configs[0])
    shape = sweep.image_shape(configs[0])
    work = _UnitWork(sweep, names, configs, folder, unit.latents, shape, dataset, progress)
    _train(work)
    _record_runs(work)


def _lacking(sweep: Sweep, unit: Unit) -> tuple[str, ...]:
    """The runs that are to be trained together.

    Those without a record; but all of a unit that is under way, whose state holds all, for as
    long as one of them is lacking.
    """
    done = done_runs(sweep.out, unit.runs)
    lacking = tuple(name for name in unit.runs if name not in done)
    if lacking and (sweep.out / UNITS / unit.name / RESUME).exists():
        return unit.runs
    return lacking


def _train(work: _UnitWork) -> None:
    """Train to the last epoch, stopping at each that is measured."""
    last, saved_steps = work.sweep.epochs[-1], _whole_steps(work.folder / SNAPSHOTS)
    lacking = [
        each for each in work.sweep.epochs if not (each in saved_steps and _is_measured(work, each))
    ]
    replicating = work.sweep.replicate and last not in _whole_steps(work.folder / _REPLICATES)
    work.progress.start(last * work.steps_per_epoch, len(work.sweep.epochs) * len(work.names))
    if replicating:
        # First, since the state before the last epoch is kept only until the next one.
        _replicate(work, sorted({*lacking, last - 1} - {last}))
        lacking = [epoch for epoch in lacking if epoch == last]
    if lacking:
        _go_on(work, lacking, work.folder / RESUME)


def _replicate(work: _UnitWork, epochs: Sequence[int]) -> None:
    """Train until the last of some epochs, and from there through another last epoch of all."""
    last, branch = work.sweep.epochs[-1], work.folder / f"{RESUME}-{_REPLICATES}"
    start = replicated_ensemble(_go_on(work, epochs, work.folder / RESUME))
    another = _go_on(work, [last], branch, start=start, measuring=False)
    checkpoint.save(work.folder / _REPLICATES, last, evaluation_variables(another.states))


def _go_on(
    work: _UnitWork,
    epochs: Sequence[int],
    resume: Path,
    *,
    start: Ensemble | None = None,
    measuring: bool = True,
) -> Ensemble:
    """Train until the last of some epochs, stopping at each, from where `resume` is.

    Args:
        work: the unit.
        epochs: ascending.
        resume: folder of the state to go on from.
        start: where training begins without one; None for untrained models.
        measuring: whether the measured ones among the epochs are.
    """
    trainer = work.trainer(work.latents)
    members = list(map(member_of, work.configs, _sizes(work)))
    shapes = ensemble_shapes(work.trainer, members, room=work.latents)
    last_step = epochs[0] * work.steps_per_epoch
    ensemble = checkpoint.load_latest(resume, shapes, last=last_step)
    if ensemble is None:
        ensemble = start
    if ensemble is None:
        ensemble = init_ensemble(work.trainer, members, room=work.latents)
    if work.sweep.mesh is not None:
        # Those with which training begins would stay on one device, all of them.
        ensemble = rows_of(ensemble, slice(None))
    images = place_images(work.dataset.train.images, mesh=work.sweep.mesh)
    with saving(partial(_save, resume)) as saver:
        for epoch in epochs:
            ensemble = train_ensemble(
                trainer,
                ensemble,
                images,
                epochs=epoch,
                batch_size=work.configs[0].batch_size,
                report=work.progress.report,
                save=saver,
                mesh=work.sweep.mesh,
            )
            saver(ensemble)
            if measuring and epoch in work.sweep.epochs:
                _measure(work, ensemble, epoch)
    # After the records: a unit whose state is at its end never lacks one.
    _save(resume, ensemble)
    return ensemble


def _save(folder: Path, ensemble: Ensemble) -> None:
    checkpoint.save_latest(folder, int(jnp.max(ensemble.states.step)), ensemble)


def _sizes(work: _UnitWork) -> list[int]:
    return [latents_of(config, work.image_shape) for config in work.configs]


def _measure(work: _UnitWork, ensemble: Ensemble, epoch: int) -> None:
    """Keep what all runs have learned at an epoch, and what is measured of it."""
    checkpoint.save(work.folder / SNAPSHOTS, epoch, evaluation_variables(ensemble.states))
    every: dict[str, np.ndarray] = {}
    at, replicates = (cache(partial(_loaded, work, each)) for each in (SNAPSHOTS, _REPLICATES))
    sizes = _sizes(work)
    for index, name in enumerate(work.names):
        work.progress.note(f"measuring model {index + 1} of {len(work.names)} at epoch {epoch}")
        trained = Trained(
            name=name,
            config=work.configs[index],
            model=work.model,
            variables=_measurable(ensemble, index, work.sweep.mesh),
            latents=sizes[index],
            epoch=epoch,
            is_last=epoch == work.sweep.epochs[-1],
            stopped=int(ensemble.failed[index]) >= 0,
            dataset=work.dataset,
            key=run_keys(work.configs[index])[1],
            at=partial(_one_of, at, index),
            replicate=partial(_one_of, partial(replicates, work.sweep.epochs[-1]), index),
            warn=work.progress.warn,
        )
        for kind, arrays in zip(_KINDS, work.sweep.measure(trained), strict=True):
            every |= {f"{index} {kind} {key}": np.asarray(value) for key, value in arrays.items()}
        work.progress.measured()
    write_arrays(_epoch_file(work, epoch), every, scratch=work.folder)


def _record_runs(work: _UnitWork) -> None:
    """Write the record of every run from what was measured at its epochs."""
    epochs = [read_archive(_epoch_file(work, epoch)) for epoch in work.sweep.epochs]
    for index, (name, config) in enumerate(zip(work.names, work.configs, strict=True)):
        by_epoch = [_of(at_epoch, index, _KINDS[0]) for at_epoch in epochs]
        arrays = {key: np.stack([at_epoch[key] for at_epoch in by_epoch]) for key in by_epoch[0]}
        write_run(
            work.sweep.out,
            name,
            {"epoch": np.array(work.sweep.epochs), **arrays, **_of(epochs[-1], index, _KINDS[1])},
            config=config,
            image_shape=work.image_shape,
            place=Place(work.folder.name, index, len(work.names), work.latents),
            scratch=work.folder,
        )


def _of(arrays: Arrays, index: int, kind: str) -> dict[str, np.ndarray]:
    start = f"{index} {kind} "
    return {
        key.removeprefix(start): value for key, value in arrays.items() if key.startswith(start)
    }


def _tidy(folder: Path, last: int) -> None:
    """Remove what was needed to go on; of what was learned the end stays.

    The state goes last: until then the unit is under way, and whoever finds it goes on here.
    """
    for epoch in checkpoint.steps(folder / SNAPSHOTS):
        if epoch != last:
            checkpoint.remove(folder / SNAPSHOTS, epoch)
    for path in (*folder.iterdir(), *(folder / SNAPSHOTS).glob(".*.part")):
        if path.is_file():
            path.unlink()
        elif path.name not in (SNAPSHOTS, RESUME):
            shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(folder / RESUME)


def _is_measured(work: _UnitWork, epoch: int) -> bool:
    file = _epoch_file(work, epoch)
    try:
        verify_archive(file)
    except FileNotFoundError:
        return False
    except ValueError as error:
        work.progress.warn(f"{error}: it is measured again")
        return False
    return True


def _whole_steps(folder: Path) -> set[int]:
    """The epochs of which a folder holds variables; all of them are read."""
    return set(checkpoint.steps(folder)) - set(checkpoint.damaged_steps(folder))


def _epoch_file(work: _UnitWork, epoch: int) -> Path:
    return work.folder / f"epoch-{epoch:04d}.npz"


def _loaded(work: _UnitWork, folder: str, epoch: int) -> Variables:
    return stacked_variables(work.folder / folder, epoch, work.model, len(work.names))


def _measurable(ensemble: Ensemble, index: int, mesh: Mesh | None) -> Variables:
    """The variables of one run, on the default device."""
    variables = evaluation_variables(ensemble.states)
    # With a mesh one by one from the host: all of them together may not fit on one device.
    return unstack_one(variables, index) if mesh is None else gathered(rows_of(variables, index))


def _one_of(load: Callable[..., Variables], index: int, *epoch: int) -> Variables:
    # On the host, where these are: all of them would go to the device for one.
    return jax.tree.map(lambda leaf: leaf[index], load(*epoch))
