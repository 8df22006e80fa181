"""The whole study: what is trained and compared, and what is drawn of it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import xarray as xr
from rich.console import Console

from experiments.learning_dynamics.comparing import between_models, measure, vae_of
from experiments.learning_dynamics.figures import draw_dynamics
from experiments.learning_dynamics.grid import Config, Place, models, places, run_name
from experiments.learning_dynamics.page import dynamics_page
from experiments.learning_dynamics.records import between_file, gather
from experiments.learning_dynamics.runs import run_config, runs
from experiments.learning_dynamics.summary import dynamics_summary, dynamics_table
from jaxvae.commands.experiment import refuse_unless
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
        afterwards=[_comparison(config, place, out) for place in places(config)],
    )


def _comparison(config: Config, place: Place, out: Path) -> Afterwards:
    names = tuple(run_name(place, model) for model in models(config))
    return Afterwards(
        f"models compared: {place.data}, {place.network}",
        between_file(out, place),
        names,
        partial(between_models, config, out, names),
    )


def _check(config: Config) -> None:
    """Refuse what cannot be trained on the data there is."""
    for place in places(config):
        run = run_config(config, place, models(config)[0])
        dataset = dataset_of(run)
        available = len(dataset.test.images)
        expectation = f"up to the {available} held-out images of {place.data}"
        refuse_unless(config, "points", expectation, unless=config.points <= available)
        steps_per_epoch(dataset.train.images, config.batch_size)
        vae_of(build_model(run, dataset.train.images.shape[1:]), place.network)


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
    found = {place: gather(config, place, sweep.out) for place in places(config)}
    records = {place: each for place, each in found.items() if each is not None}
    empty = "; ".join(f"{place.data}, {place.network}" for place in found.keys() - records.keys())
    if not records:
        raise ValueError(
            f"expected a model that was trained to the end, got no model of {empty}: wait for "
            "more runs, or, where losses became NaN or infinite, try a smaller --learning-rate "
            "and another --out"
        )
    if empty:
        console.print(f"no model was trained to its end of {empty}", soft_wrap=True)
    _write(sweep, list(records.values()), console)


def _write(sweep: Sweep, records: Sequence[xr.Dataset], console: Console) -> None:
    tree = {Place(each.attrs["data"], each.attrs["network"]).name: each for each in records}
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
