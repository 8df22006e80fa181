"""The whole study: what is trained and compared, and what is drawn of it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import xarray as xr
from rich.console import Console

from experiments.learning_dynamics.comparing import between_models, measure, vae_of
from experiments.learning_dynamics.figures import draw_dynamics
from experiments.learning_dynamics.grid import (
    Config,
    DataAndNetwork,
    data_and_networks,
    models,
    run_name,
)
from experiments.learning_dynamics.page import dynamics_page
from experiments.learning_dynamics.records import between_file, gather
from experiments.learning_dynamics.runs import run_config, runs
from experiments.learning_dynamics.summary import dynamics_summary, dynamics_table
from jaxvae.commands.experiment import require
from jaxvae.data import Dataset
from jaxvae.models import HVAE, VAE
from jaxvae.report.results import write_report
from jaxvae.runs.building import build_model
from jaxvae.runs.config import RunConfig
from jaxvae.runs.images import dataset_of
from jaxvae.sweeps.estimate import geometry_seconds, layer_features
from jaxvae.sweeps.launch import Experiment
from jaxvae.sweeps.records import Arrays
from jaxvae.sweeps.sweep import Afterwards, Sweep
from jaxvae.training import steps_per_epoch


def _sweep(config: Config, out: Path) -> Sweep:
    return Sweep(
        out=out,
        runs=runs(config),
        epochs=config.measured,
        measure=partial(measure, config),
        describe=_describe,
        seconds=partial(_seconds, config),
        replicate=True,
        afterwards=[_comparison(config, group, out) for group in data_and_networks(config)],
    )


def _comparison(config: Config, group: DataAndNetwork, out: Path) -> Afterwards:
    names = tuple(run_name(group, model) for model in models(config))
    return Afterwards(
        f"models compared: {group.data}, {group.network}",
        between_file(out, group),
        names,
        partial(between_models, config, out, names),
    )


def _check(config: Config) -> None:
    """Refuse what cannot be trained on the data there is."""
    for group in data_and_networks(config):
        run = run_config(config, group, models(config)[0])
        dataset = dataset_of(run)
        available = len(dataset.test.images)
        expectation = f"up to the {available} held-out images of {group.data}"
        require(config, "points", expectation, config.points <= available)
        steps_per_epoch(dataset.train.images, config.batch_size)
        vae_of(build_model(run, dataset.train.images.shape[1:]), group.network)


def _describe(name: str, record: Arrays) -> str:
    if record["failed"].any():
        return f"{name}: failed, the loss became NaN or infinite"
    reconstruction, kl, active = (
        float(record[each][-1]) for each in ("reconstruction", "kl", "active_latents")
    )
    return f"{name}: reconstruction {reconstruction:.1f}, KL {kl:.1f} nats, {active:.0f} active"


def _seconds(config: Config, _: RunConfig, model: VAE | HVAE, dataset: Dataset) -> float:
    return geometry_seconds(config.points, layer_features(model))


def _report(config: Config, sweep: Sweep, console: Console) -> None:
    gathered = {group: gather(config, group, sweep.out) for group in data_and_networks(config)}
    records = {group: some for group, some in gathered.items() if some is not None}
    lacking = gathered.keys() - records.keys()
    empty = "; ".join(f"{group.data}, {group.network}" for group in lacking)
    if not records:
        raise ValueError(
            f"expected a model that was trained to the end, got none for {empty}: wait for "
            "more runs, or, where losses became NaN or infinite, try a smaller --learning-rate "
            "and another --out"
        )
    if empty:
        console.print(f"no model was trained to the end for {empty}", soft_wrap=True)
    _write(sweep, list(records.values()), console)


def _write(sweep: Sweep, records: Sequence[xr.Dataset], console: Console) -> None:
    tree = {
        DataAndNetwork(each.attrs["data"], each.attrs["network"]).name: each for each in records
    }
    write_report(
        sweep.out,
        xr.DataTree.from_dict(tree),
        figures=partial(draw_dynamics, records),
        summary=dynamics_summary(records, missing=sweep.missing()),
        lines=[dynamics_table(records)],
        console=console,
        page=dynamics_page(records, missing=sweep.missing()),
    )


EXPERIMENT = Experiment(
    _sweep, _report, _check, extendable=("data", "networks", "objectives", "values", "seeds")
)
