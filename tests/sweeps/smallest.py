"""The smallest experiment that has all parts of a sweep: `python -m tests.sweeps.smallest`."""

import dataclasses
import sys

import jax
import numpy as np

from jaxvae.commands.experiment import option, run_experiment
from jaxvae.runs.config import RunConfig
from jaxvae.runs.images import dataset_of
from jaxvae.sweeps.job import Experiment
from jaxvae.sweeps.records import over_runs
from jaxvae.sweeps.sweep import Afterwards, Sweep


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    bottlenecks: tuple[int, ...] = option((2, 3), "sizes")
    seeds: tuple[int, ...] = option((0, 1), "seeds")
    epochs: int = option(3, "passes over the training images")
    learning_rate: float = option(1e-2, "of Adam")
    batch_size: int = option(16, "images a step")
    replicate: bool = option(False, "whether the last epoch is trained twice")


PRESETS = {"demo": Config()}
COMMAND = [sys.executable, "-m", "tests.sweeps.smallest"]


def name_of(size, seed):
    return f"bottleneck-{size}/seed-{seed}"


def runs(config):
    return {
        name_of(size, seed): RunConfig(
            image_size=8,
            train_size=64,
            network="dense_vae",
            options={"widths": [8]},
            latents=size,
            coefficients={"beta": 1.0},
            learning_rate=config.learning_rate,
            batch_size=config.batch_size,
            epochs=config.epochs,
            seed=seed,
        )
        for size in config.bottlenecks
        for seed in config.seeds
    }


def load(config):
    return dataset_of(config, test_size=16)


def flat(variables):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(variables)])


def measure(trained):
    """All that a model has learned, and at the end what it had at every epoch before."""
    learned = flat(trained.variables)
    every = {"learned": learned, "failed": trained.stopped or not np.isfinite(learned).all()}
    if not trained.is_last:
        return every, {}
    return every, {"at_first": flat(trained.at(0)), "key": jax.random.key_data(trained.key)}


def sweep_of(config, out):
    every = runs(config)
    total = Afterwards(
        "sum of all",
        out / "total.npz",
        tuple(every),
        lambda note: {"total": over_runs(out, list(every), ["learned"])["learned"].sum(axis=0)},
    )
    return Sweep(
        out=out,
        runs=every,
        epochs=(0, 1, config.epochs),
        load=load,
        measure=measure,
        describe=lambda name, record: f"{name}: failed {bool(record['failed'][-1])}",
        replicate=config.replicate,
        afterwards=[total],
    )


def check(config):
    if config.batch_size > 64:
        raise ValueError(f"expected --batch-size of at most 64, got {config.batch_size}")


def report(config, sweep, console):
    done = sorted(set(sweep.runs) - set(sweep.missing()))
    (sweep.out / "report.txt").write_text("\n".join(done))
    console.print(f"{len(done)} runs drawn")


EXPERIMENT = Experiment(sweep_of, report, check, extendable=("bottlenecks", "seeds"))


def main(arguments=None):
    return run_experiment(
        "tests.sweeps.smallest", "", PRESETS, "tests.sweeps.smallest:EXPERIMENT", arguments
    )


if __name__ == "__main__":
    sys.exit(main())
