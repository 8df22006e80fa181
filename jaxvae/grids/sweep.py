"""A grid as a sweep: what is refused before it begins, trained and measured."""

from functools import partial
from pathlib import Path

from jaxvae.data import Dataset
from jaxvae.data.distinct import first_distinct
from jaxvae.grids.grid import Grid, runs_of
from jaxvae.grids.measuring import measure
from jaxvae.memory import available_memory
from jaxvae.models import HVAE, VAE
from jaxvae.runs.building import build_trainer
from jaxvae.runs.config import RunConfig
from jaxvae.runs.ready import ReadyRun, ready_run
from jaxvae.runs.run import snapshot_epochs
from jaxvae.runs.sweep_run import program_of
from jaxvae.sweeps.estimate import geometry_seconds, layer_features
from jaxvae.sweeps.job import Experiment, imported_when_called
from jaxvae.sweeps.sweep import Sweep, last_rates

_FLOAT_BYTES = 4
# Points of which TwoNN knows a ratio.
_FEWEST = 3


def _sweep(grid: Grid, out: Path) -> Sweep:
    return Sweep(
        out=out,
        runs=runs_of(grid),
        epochs=snapshot_epochs(grid.epochs, grid.snapshots),
        measure=partial(measure, grid.points),
        describe=last_rates,
        seconds=partial(_seconds, grid),
    )


def _check(grid: Grid) -> None:
    """Refuse what would fail later: the largest run of every program, and settings of all."""
    configs = [config for config in runs_of(grid).values() if config.seed == grid.seeds[0]]
    largest: dict[RunConfig, RunConfig] = {}
    for config in configs:
        of_program = largest.setdefault(program_of(config, 1), config)
        if (config.latents or 0) > (of_program.latents or 0):
            largest[program_of(config, 1)] = config
    ready = {program: ready_run(config) for program, config in largest.items()}
    for run in ready.values():
        _refuse_points(grid.points, run)
    for config in configs:
        run = ready[program_of(config, 1)]
        build_trainer(config, run.vae, dataset_size=len(run.dataset.train.images))


def _refuse_points(points: int, run: ReadyRun) -> None:
    if points == 0:
        return
    if points < _FEWEST:
        raise ValueError(
            f"expected --points of at least {_FEWEST}, or 0 to measure no geometry, got {points:,}"
        )
    distinct = len(first_distinct(run.dataset.test.images, points))
    if distinct < _FEWEST:
        raise ValueError(
            f"expected at least {_FEWEST} distinct held-out images of {run.config.data}, or "
            f"--points 0 to measure no geometry, got {distinct}"
        )
    most = available_memory() / (_FLOAT_BYTES * sum(layer_features(run.vae)))
    if distinct > most:
        raise ValueError(
            f"expected --points of at most {int(most):,}, of which all layers of "
            f"{run.config.network} fit in the memory available, or 0 to measure no geometry, got "
            f"{distinct:,}"
        )


def _seconds(grid: Grid, _: RunConfig, model: VAE | HVAE, dataset: Dataset) -> float:
    points = min(grid.points, len(dataset.test.images))
    return geometry_seconds(points, layer_features(model)) if points else 0.0


_report = imported_when_called("jaxvae.grids.report:report")
EXPERIMENT = Experiment(_sweep, _report, _check, extendable=("values", "seeds"))
SWEEP = f"{__name__}:EXPERIMENT"
"""The experiment as other processes are told of it."""
