"""Cells of the grid, trained together and measured on the way."""

import time
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console

from experiments.groups import begin_group, stable_groups, train_group
from experiments.rate_allocation.collapse import collapse_watch
from experiments.rate_allocation.config import Cell, Config, cells
from experiments.rate_allocation.measuring import Judge, labels_of, measure_costs, measure_uses
from experiments.rate_allocation.network import build_network, keys_of
from experiments.rate_allocation.records import (
    JUDGE,
    cell_folder,
    missing_epochs,
    unfinished_cells,
    uses_file,
)
from experiments.records import is_written, read_arrays, record_file, write_arrays
from jaxvae.analysis import classifier_accuracy, largest_eigenvalue
from jaxvae.data import Dataset
from jaxvae.models import HVAE, Classifier, convolutional_classifier
from jaxvae.objectives import hierarchical_vae, linear_ramp
from jaxvae.report import sweep_progress
from jaxvae.report.progress import SweepProgress
from jaxvae.runs import checkpoint
from jaxvae.training import (
    Member,
    Trainer,
    TrainState,
    steps_per_epoch,
    train_classifier,
    vae_trainer,
)


def train_cells(config: Config, out: Path, dataset: Dataset, console: Console) -> None:
    """Train and measure what is not yet done."""
    todo = unfinished_cells(config, out)
    every = stable_groups(out / "groups", cells(config), partial(_split, config.together))
    groups = [group for group in every if set(todo) & set(group)]
    console.print(
        f"{len(todo)} of {len(cells(config))} cells to do, {len(groups)} "
        f"group{'s' * (len(groups) != 1)}; results in {out}",
        soft_wrap=True,
    )
    with sweep_progress(console, runs=len(groups), unit="groups") as progress:
        judge = _judge(config, out, dataset, console)
        for group in groups:
            _train_group(config, out, group, dataset=dataset, judge=judge, progress=progress)


def _train_group(
    config: Config,
    out: Path,
    group: list[Cell],
    *,
    dataset: Dataset,
    judge: Judge,
    progress: SweepProgress,
) -> None:
    """Train some cells together, measuring them at their snapshots."""
    start, folder = time.perf_counter(), out / "groups" / group[0].name
    begin_group(folder, group)
    images, held_out = jnp.asarray(dataset.train.images), dataset.test.images
    per_epoch = steps_per_epoch(images, config.batch_size)
    progress.start(f"{len(group)} cells", config.epochs * per_epoch)
    hvae, trainer = model_of(config, images.shape[1:], config.epochs * per_epoch)

    spectrum = _spectrum(config, held_out[: config.points])
    see_signs = collapse_watch(config, group, progress.warn)

    def record(index: int, epoch: int, state: TrainState) -> None:
        cell, variables = group[index], state.variables
        place, betas = cell_folder(out, cell), cell.prices(len(hvae.shapes))
        against = {"betas": betas, **spectrum} if spectrum else {}
        cost_key, use_key = jax.random.split(keys_of(cell)[1])
        costs, signs = measure_costs(
            config, hvae, variables, held_out, against=against, key=cost_key
        )
        # A member whose loss was not finite has stopped, also where what it learned is finite.
        costs["failed"] |= int(state.step) < epoch * per_epoch
        costs["warnings"] = np.array(see_signs(index, epoch, () if costs["failed"] else signs))
        checkpoint.save(place / "snapshots", epoch, variables)
        if epoch == config.epochs and not costs["failed"]:
            progress.note(f"uses of cell {index + 1} of {len(group)}")
            uses = measure_uses(config, hvae, variables, dataset, judge, key=use_key)
            write_arrays(uses_file(place), uses)
        # Last: a cell with the record of an epoch lacks nothing of it.
        write_arrays(record_file(place, epoch), costs)

    train_group(
        lambda latents: trainer,
        [
            Member(keys_of(cell)[0], hvae.latents, {"beta": cell.prices(len(hvae.shapes))})
            for cell in group
        ],
        images,
        epochs=sorted({epoch for cell in group for epoch in missing_epochs(config, out, cell)}),
        batch_size=config.batch_size,
        record=record,
        resume=folder,
        progress=progress,
    )
    heading = f"{len(group)} cells in {time.perf_counter() - start:.0f} s:"
    progress.finish("\n  ".join([heading, *(_outcome(config, out, cell) for cell in group)]))


def _spectrum(config: Config, images: np.ndarray) -> dict[str, Any]:
    """What prices are compared with, where the likelihood has a variance to compare them by."""
    if config.likelihood != "gaussian":
        return {}
    largest = np.array([largest_eigenvalue(images)])
    return {"variance": config.standard_deviation**2, "eigenvalues": largest}


def _outcome(config: Config, out: Path, cell: Cell) -> str:
    last = read_arrays(record_file(cell_folder(out, cell), config.epochs))
    name = f"beta {cell.beta_top:g} and {cell.beta_bottom:g}, seed {cell.seed}"
    if last["failed"]:
        return f"{name}: failed, the loss became NaN or infinite"
    rates = " + ".join(f"{rate:.1f}" for rate in last["rates"])
    return f"{name}: distortion {float(last['distortion']):.1f}, rates {rates} nats"


@cache
def model_of(config: Config, image_shape: tuple[int, int, int], steps: int) -> tuple[HVAE, Trainer]:
    """One object for all cells, so that they share what is compiled."""
    hvae = build_network(config, image_shape)
    warmup = round(config.warmup * steps)
    trainer = vae_trainer(
        hvae,
        hierarchical_vae,
        optax.adam(config.learning_rate),
        coefficients={"beta": (1.0,) * len(hvae.shapes)},
        schedules={"beta": partial(linear_ramp, steps=warmup)} if warmup else None,
    )
    return hvae, trainer


def _judge(config: Config, out: Path, dataset: Dataset, console: Console) -> Judge:
    """The classifier of generated images: trained once, then read."""
    train, labels, folder = dataset.train, labels_of(dataset.train), out / "judge"
    classifier = judge_of(dataset)
    like = jax.eval_shape(classifier.init, jax.random.key(0))
    saved = checkpoint.load_latest(folder, like)
    if saved is not None and is_written(out / JUDGE, ["accuracy", "accuracy_stderr"]):
        return Judge(classifier, saved)
    params = train_classifier(
        classifier,
        train.images,
        labels,
        key=jax.random.key(0),
        epochs=config.judge_epochs,
        batch_size=min(100, len(train.images)),
    )
    right = classifier_accuracy(classifier, params, dataset.test.images, labels_of(dataset.test))
    write_arrays(out / JUDGE, {"accuracy": right.value, "accuracy_stderr": right.stderr})
    checkpoint.save(folder, config.judge_epochs, params)
    console.print(f"generated images are judged by a classifier with accuracy {right.value:.4f}")
    return Judge(classifier, params)


def judge_of(dataset: Dataset) -> Classifier:
    """The classifier of generated images, before it is trained.

    Raises:
        ValueError: for images that it does not take.
    """
    classes = int(labels_of(dataset.train).max()) + 1
    return convolutional_classifier(image_shape=dataset.train.images.shape[1:], classes=classes)


def _split(size: int, new: list[Cell]) -> list[list[Cell]]:
    return [new[at : at + size] for at in range(0, len(new), size)]
