"""The whole sweep: what is refused before it begins, trained and measured."""

from functools import partial
from pathlib import Path

from rich.console import Console

from experiments.bottleneck.between_models import BETWEEN, between_models
from experiments.bottleneck.config import Config, compared_seeds, load, run_name, runs
from experiments.bottleneck.measuring import measure
from jaxvae.commands.experiment import require
from jaxvae.data import Dataset
from jaxvae.models import HVAE, VAE
from jaxvae.runs.building import build_model
from jaxvae.runs.config import RunConfig
from jaxvae.sweeps.estimate import geometry_seconds, layer_features
from jaxvae.sweeps.launch import Experiment
from jaxvae.sweeps.records import Arrays
from jaxvae.sweeps.sweep import Afterwards, Sweep
from jaxvae.training import steps_per_epoch


def _sweep(config: Config, out: Path) -> Sweep:
    every = runs(config)
    compared = [run_name(size, s) for size in config.bottlenecks for s in compared_seeds(config)]
    between = Afterwards(
        f"\N{GREEK CAPITAL LETTER DELTA} between {len(compared)} models",
        out / BETWEEN,
        tuple(compared),
        lambda note: between_models(out, compared),
    )
    return Sweep(
        out=out,
        runs=every,
        epochs=config.measured_epochs,
        load=lambda _: load(config),
        measure=partial(measure, config),
        describe=_describe,
        seconds=partial(_seconds, config),
        afterwards=[between],
    )


def _check(config: Config) -> None:
    """Refuse what cannot be trained on the data there is."""
    dataset = load(config)
    available = len(dataset.test.images)
    fine = config.points <= available
    expectation = f"up to the {available} held-out images of {config.data}"
    require(config, "points", expectation, fine)
    steps_per_epoch(dataset.train.images, config.batch_size)
    build_model(next(iter(runs(config).values())), dataset.train.images.shape[1:])


def _describe(name: str, record: Arrays) -> str:
    if record["failed"][-1]:
        return f"{name}: failed, the loss became NaN or infinite"
    reconstruction, kl = float(record["reconstruction"][-1]), float(record["kl"][-1])
    active = int(record["active_units"][-1])
    return f"{name}: reconstruction {reconstruction:.1f}, KL {kl:.1f} nats, {active} active units"


def _seconds(config: Config, _: RunConfig, model: VAE | HVAE, dataset: Dataset) -> float:
    return geometry_seconds(config.points, layer_features(model))


def _report(config: Config, sweep: Sweep, console: Console) -> None:
    # It draws, which processes that train never do.
    from experiments.bottleneck.report import report  # noqa: PLC0415

    report(config, sweep, console)


EXPERIMENT = Experiment(_sweep, _report, _check, extendable=("bottlenecks", "seeds"))
