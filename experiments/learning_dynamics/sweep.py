"""The whole study: what is refused before it begins, trained and compared."""

from functools import partial
from pathlib import Path

from experiments.learning_dynamics.comparing import (
    between_file,
    between_models,
    measure,
    measured_images,
    vae_of,
)
from experiments.learning_dynamics.config import (
    Config,
    DataAndNetwork,
    data_and_networks,
    models,
    run_name,
)
from experiments.learning_dynamics.runs import run_config, runs
from jaxvae.commands.experiment import require
from jaxvae.runs.building import build_model
from jaxvae.runs.images import dataset_of
from jaxvae.sweeps.estimate import geometry_seconds, layer_features
from jaxvae.sweeps.job import Experiment, imported_when_called
from jaxvae.sweeps.sweep import Afterwards, Sweep, last_rates
from jaxvae.training import steps_per_epoch


def _sweep(config: Config, out: Path) -> Sweep:
    return Sweep(
        out=out,
        runs=runs(config),
        epochs=config.measured,
        measure=partial(measure, config),
        describe=last_rates,
        seconds=lambda _, model, __: geometry_seconds(config.points, layer_features(model)),
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
        available = len(measured_images(config, dataset))
        expectation = f"up to the {available} distinct held-out images of {group.data}"
        require(config, "points", expectation, config.points <= available)
        steps_per_epoch(dataset.train.images, config.batch_size)
        vae_of(build_model(run, dataset.train.images.shape[1:]), group.network)


_report = imported_when_called("experiments.learning_dynamics.report:report")
EXPERIMENT = Experiment(
    _sweep, _report, _check, extendable=("data", "networks", "objectives", "values", "seeds")
)
