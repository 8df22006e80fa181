"""The whole sweep: what is refused before it begins, trained and measured."""

from functools import partial
from pathlib import Path

from experiments.bottleneck.between_models import BETWEEN, between_models
from experiments.bottleneck.config import Config, compared_seeds, load, run_name, runs
from experiments.bottleneck.measuring import measure, measured_images
from jaxvae.commands.experiment import require
from jaxvae.files.numpy_files import read_members
from jaxvae.runs.building import build_model
from jaxvae.runs.sweep_run import run_file
from jaxvae.sweeps.estimate import geometry_seconds, layer_features
from jaxvae.sweeps.job import Experiment, imported_when_called
from jaxvae.sweeps.records import done_runs
from jaxvae.sweeps.sweep import Afterwards, Sweep, last_rates
from jaxvae.training import steps_per_epoch


def _sweep(config: Config, out: Path) -> Sweep:
    every = runs(config)
    _refuse_copies(config, out)
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
        describe=last_rates,
        seconds=lambda _, model, __: geometry_seconds(config.points, layer_features(model)),
        afterwards=[between],
    )


def _refuse_copies(config: Config, out: Path) -> None:
    """Refuse more models beside some that were measured on copies, which others are not."""
    every = runs(config)
    done = done_runs(out, every)
    for name in sorted(done) if len(done) < len(every) else ():
        found = read_members(run_file(out, name), ["distinct_points"])["distinct_points"]
        distinct = int(found[..., 0].max())
        # None of a model that has failed.
        if 0 < distinct < config.points:
            raise ValueError(
                f"expected models in {out} that were measured on {config.points} distinct images, "
                f"got one on {distinct} and on copies of them, as an earlier version measured: "
                "choose another --out"
            )


def _check(config: Config) -> None:
    """Refuse what cannot be trained on the data there is."""
    dataset = load(config)
    available = len(measured_images(config))
    fine = config.points <= available
    expectation = f"up to the {available} distinct held-out images of {config.data}"
    require(config, "points", expectation, fine)
    steps_per_epoch(dataset.train.images, config.batch_size)
    build_model(next(iter(runs(config).values())), dataset.train.images.shape[1:])


_report = imported_when_called("experiments.bottleneck.report:report")
EXPERIMENT = Experiment(_sweep, _report, _check, extendable=("bottlenecks", "seeds"))
