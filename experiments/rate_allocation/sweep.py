"""The whole grid: what is refused before it begins, trained and measured."""

from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from experiments.rate_allocation.collapse import See, collapse_watch
from experiments.rate_allocation.config import Config
from experiments.rate_allocation.judge import judge_of, labels_of, untrained_judge
from experiments.rate_allocation.measuring import measure_costs, measure_uses, uses_seconds
from experiments.rate_allocation.runs import load, runs
from jaxvae.analysis import largest_eigenvalue
from jaxvae.commands.experiment import require
from jaxvae.data import Dataset
from jaxvae.models import HVAE, VAE
from jaxvae.runs.config import RunConfig, numbers
from jaxvae.sweeps.launch import Experiment
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
    costs, signs = measure_costs(
        config,
        hvae,
        trained.variables,
        images,
        against=_against(config, trained),
        key=cost_key,
    )
    costs["failed"] |= trained.stopped
    seen = see(trained.name, trained.epoch, () if costs["failed"] else signs, trained.warn)
    costs["warnings"] = np.array(seen)
    if not trained.is_last or costs["failed"]:
        return costs, {}
    judge = judge_of(config, out)
    return costs, measure_uses(config, hvae, trained.variables, trained.dataset, judge, key=use_key)


def _against(config: Config, trained: Trained) -> dict[str, Any]:
    """Variances of the data and of a Gaussian likelihood, which betas are compared with."""
    if config.likelihood != "gaussian":
        return {}
    return {
        "betas": numbers(trained.config.coefficients["beta"]),
        "variance": config.standard_deviation**2,
        "eigenvalues": _spectrum(config),
    }


@cache
def _spectrum(config: Config) -> np.ndarray:
    return np.array([largest_eigenvalue(load(config).test.images[: config.points])])


def _describe(name: str, record: Arrays) -> str:
    if record["failed"][-1]:
        return f"{name}: failed, the loss became NaN or infinite"
    rates = " + ".join(f"{rate:.1f}" for rate in record["rates"][-1])
    return f"{name}: distortion {float(record['distortion'][-1]):.1f}, rates {rates} nats"


def _seconds(config: Config, _: RunConfig, model: VAE | HVAE, __: Dataset) -> float:
    return uses_seconds(config, model) / len(config.measured_epochs)


def _report(config: Config, sweep: Sweep, console: Console) -> None:
    # It draws, which processes that train never do.
    from experiments.rate_allocation.report import report  # noqa: PLC0415

    report(config, sweep, console)


EXPERIMENT = Experiment(
    _sweep, _report, _check, extendable=("beta_top", "beta_bottom", "seeds", "baseline")
)
