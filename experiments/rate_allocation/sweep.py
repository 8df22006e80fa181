"""The whole grid: what is refused before it begins, trained and measured."""

from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.rate_allocation.collapse import See, collapse_watch
from experiments.rate_allocation.config import Config
from experiments.rate_allocation.judge import judge_of, labels_of, untrained_judge
from experiments.rate_allocation.measuring import measure_costs, measure_uses, uses_seconds
from experiments.rate_allocation.runs import load, runs
from jaxvae.analysis.collapse import against_data, largest_eigenvalue
from jaxvae.commands.experiment import require
from jaxvae.data import Dataset
from jaxvae.models import HVAE, VAE
from jaxvae.runs.config import RunConfig, numbers
from jaxvae.sweeps.job import Experiment, imported_when_called
from jaxvae.sweeps.records import Arrays
from jaxvae.sweeps.sweep import Sweep, Trained
from jaxvae.training import steps_per_epoch


def _sweep(config: Config, out: Path) -> Sweep:
    return Sweep(
        out=out,
        runs=runs(config),
        epochs=config.measured_epochs,
        load=lambda _: load(config),
        measure=partial(_measure, config, out, collapse_watch(config)),
        describe=_describe,
        seconds=partial(_seconds, config),
    )


def _check(config: Config) -> None:
    """Refuse what cannot be trained or measured on the data there is."""
    dataset = load(config)
    for split in (dataset.train, dataset.test):
        labels_of(split)
    for name, split in (("points", dataset.test), ("labeled", dataset.train)):
        available = len(split.images)
        expectation = f"up to the {available} images of its split of {config.data}"
        require(config, name, expectation, getattr(config, name) <= available)
    steps_per_epoch(dataset.train.images, config.batch_size)
    untrained_judge(dataset)


def _measure(
    config: Config, out: Path, see: See, trained: Trained
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Rates and distortion of a model at every epoch, and its scores in all uses at the last."""
    hvae = trained.model
    if not isinstance(hvae, HVAE):
        raise ValueError(f"expected a hierarchy of latents, got {trained.config.network}")
    cost_key, use_key = jax.random.split(trained.key)
    images = trained.dataset.test.images
    betas = numbers(trained.config.coefficients["beta"])
    costs, signs = measure_costs(
        config,
        hvae,
        trained.variables,
        images,
        against=against_data(trained.config, betas, partial(_largest_eigenvalue, config)),
        key=cost_key,
    )
    costs["failed"] |= trained.stopped
    seen = see(trained.name, trained.epoch, () if costs["failed"] else signs, trained.warn)
    costs["warnings"] = np.array(seen)
    if not trained.is_last or costs["failed"]:
        return costs, {}
    judge = judge_of(config, out)
    return costs, measure_uses(config, hvae, trained.variables, trained.dataset, judge, key=use_key)


@cache
def _largest_eigenvalue(config: Config) -> float:
    return largest_eigenvalue(load(config).test.images[: config.points])


def _describe(name: str, record: Arrays) -> str:
    if record["failed"][-1]:
        return f"{name}: failed, the loss became NaN or infinite"
    rates = " + ".join(f"{rate:.1f}" for rate in record["rates"][-1])
    return f"{name}: distortion {float(record['distortion'][-1]):.1f}, rates {rates} nats"


def _seconds(config: Config, _: RunConfig, model: VAE | HVAE, __: Dataset) -> float:
    return uses_seconds(config, model) / len(config.measured_epochs)


_report = imported_when_called("experiments.rate_allocation.report:report")
EXPERIMENT = Experiment(
    _sweep, _report, _check, extendable=("beta_top", "beta_bottom", "seeds", "baseline")
)
