"""A grid as a sweep: what is refused before it begins, trained, measured, and shown of it."""

from functools import partial
from pathlib import Path

import xarray as xr
from rich.console import Console

from jaxvae.data import Dataset
from jaxvae.data.memory import available_memory
from jaxvae.grids.figures import draw_grid
from jaxvae.grids.grid import Grid, runs_of
from jaxvae.grids.measuring import measure
from jaxvae.grids.page import grid_page
from jaxvae.grids.records import gather
from jaxvae.grids.tables import errors, summary, sweep_tables, title
from jaxvae.models import HVAE, VAE
from jaxvae.report.results import write_report
from jaxvae.runs.building import build_trainer
from jaxvae.runs.config import RunConfig
from jaxvae.runs.member import program_of
from jaxvae.runs.ready import ReadyRun, ready_run
from jaxvae.runs.run import snapshot_epochs
from jaxvae.sweeps.estimate import geometry_seconds, layer_features
from jaxvae.sweeps.launch import Experiment
from jaxvae.sweeps.records import Arrays
from jaxvae.sweeps.sweep import Sweep

_FLOAT_BYTES = 4


def _sweep(grid: Grid, out: Path) -> Sweep:
    return Sweep(
        out=out,
        runs=runs_of(grid),
        epochs=snapshot_epochs(grid.epochs, grid.snapshots),
        measure=partial(measure, grid.points),
        describe=_describe,
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
    held_out = len(run.dataset.test.images)
    if points and not 3 <= points <= held_out:
        raise ValueError(
            f"expected --points from 3 to {held_out:,}, the held-out images of {run.config.data}, "
            f"or 0 to measure no geometry, got {points:,}"
        )
    most = int(available_memory() / (_FLOAT_BYTES * sum(layer_features(run.vae))))
    if points > most:
        raise ValueError(
            f"expected --points of at most {most:,}, of which all layers of {run.config.network} "
            f"fit in the memory available, or 0 to measure no geometry, got {points:,}"
        )


def _describe(name: str, record: Arrays) -> str:
    if record["failed"].any():
        return f"{name}: failed, the loss became NaN or infinite"
    reconstruction, kl = float(record["reconstruction"][-1]), float(record["kl"][-1])
    active = int(record["active_units"][-1].sum())
    return f"{name}: reconstruction {reconstruction:.1f}, KL {kl:.1f} nats, {active} active units"


def _seconds(grid: Grid, _: RunConfig, model: VAE | HVAE, __: Dataset) -> float:
    return geometry_seconds(grid.points, layer_features(model)) if grid.points else 0.0


def _report(grid: Grid, sweep: Sweep, console: Console) -> None:
    records = gather(grid, sweep.out)
    if bool((records["failed"].any("epoch") | records["missing"]).all()):
        raise ValueError(
            "expected a run that is done and did not fail, got none: where losses became NaN or "
            "infinite, try a smaller --learning-rate and another --out"
        )
    labels = map(grid.label, grid.settings)
    shown = records.isel({label: 0 for label in labels if label not in grid.varying})
    _say_failed(sweep, records, console)
    write_report(
        sweep.out,
        records,
        figures=partial(draw_grid, grid, shown),
        summary=summary(grid, shown),
        page=grid_page(grid, shown),
        lines=[title(grid, shown), *sweep_tables(grid, shown), errors(grid)],
        console=console,
    )


def _say_failed(sweep: Sweep, records: xr.Dataset, console: Console) -> None:
    # Records have the order of the runs.
    failed = records["failed"].any("epoch").values.flat
    names = [name for name, one in zip(sweep.runs, failed, strict=True) if one]
    if names:
        console.print(f"failed, and left out below: {', '.join(names)}", soft_wrap=True)


EXPERIMENT = Experiment(_sweep, _report, _check, extendable=("values", "seeds"))
