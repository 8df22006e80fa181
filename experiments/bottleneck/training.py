"""Runs of similar size, trained together and measured on the way."""

import math
import time
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console

from experiments.bottleneck.config import Config, Run, runs
from experiments.bottleneck.duration import seconds_of
from experiments.bottleneck.measuring import dimension_scale, measure_end, measure_model
from experiments.bottleneck.records import end_file, missing_epochs, run_folder, unfinished_runs
from experiments.estimate import Seconds, in_words
from experiments.groups import begin_group, stable_groups, train_group
from experiments.records import read_arrays, record_file, write_arrays
from jaxvae.data import Dataset
from jaxvae.metrics.gride import DimensionScale
from jaxvae.models import VAE, Variables, convolutional_vae, dense_vae
from jaxvae.objectives import beta_vae
from jaxvae.report import sweep_progress
from jaxvae.report.progress import SweepProgress
from jaxvae.runs import checkpoint
from jaxvae.training import (
    Member,
    Trainer,
    TrainState,
    group_members,
    steps_per_epoch,
    unit_interval,
    vae_trainer,
)
from jaxvae.training.ensemble import cut
from jaxvae.typing import Key

_BUILDERS = {"dense": dense_vae, "convolutional": convolutional_vae}


def train_runs(config: Config, out: Path, dataset: Dataset, console: Console) -> None:
    """Train and measure what is not yet done."""
    images, todo = jnp.asarray(dataset.train.images), unfinished_runs(config, out)

    def size_of(latents: int) -> int:
        shapes = _shapes_of(config, images.shape[1:], latents)
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes.params))

    every = stable_groups(out / "groups", runs(config), partial(group_members, size_of=size_of))
    groups = [group for group in every if set(todo) & set(group)]
    expected = [
        seconds_of(
            config,
            out,
            group,
            model_of(config, images.shape[1:], max(run.latents for run in group)),
            images=images,
            test_images=dataset.test.images,
        )
        for group in groups
    ]
    of = len(config.bottlenecks) * config.seeds
    console.print(
        f"{len(todo)} of {of} runs to do, {len(groups)} program{'s' * (len(groups) != 1)}; "
        f"{in_words(expected)}; results in {out}",
        soft_wrap=True,
    )
    with sweep_progress(console, runs=len(groups), unit="programs") as progress:
        for group, seconds in zip(groups, expected, strict=True):
            _train_group(
                config,
                out,
                group,
                images=images,
                test_images=dataset.test.images,
                expected=seconds,
                progress=progress,
            )


def _train_group(
    config: Config,
    out: Path,
    group: list[Run],
    *,
    images: jax.Array,
    test_images: np.ndarray,
    expected: Seconds,
    progress: SweepProgress,
) -> None:
    """Train some runs together, measuring them at their snapshots."""
    start, folder = time.perf_counter(), out / "groups" / group[0].name
    begin_group(folder, group)
    sizes = sorted({run.latents for run in group})
    steps = config.epochs * steps_per_epoch(images, config.batch_size)
    epochs = sorted({epoch for run in group for epoch in missing_epochs(config, out, run)})
    name = f"K = {', '.join(map(str, sizes))}"
    progress.start(name, steps, len(epochs) * len(group), expected.measuring_share)
    of = partial(model_of, config, images.shape[1:])
    largest = of(sizes[-1])[0]

    @cache
    def of_input() -> DimensionScale:
        return dimension_scale(unit_interval(jnp.asarray(test_images[: config.points])))

    def record(index: int, epoch: int, state: TrainState) -> None:
        run = group[index]
        place, variables = run_folder(out, run), state.variables
        own = cut(jax.device_get(variables), _shapes_of(config, images.shape[1:], run.latents))
        checkpoint.save(place / "snapshots", epoch, own)
        found, taps = measure_model(
            largest,
            variables,
            test_images,
            config.points,
            latents=run.latents,
            key=keys_of(run)[1],
        )
        if epoch == config.epochs and not found["failed"]:
            write_arrays(end_file(place), measure_end(taps, of_input=of_input()))
        # Last: a run with the record of an epoch lacks nothing of it.
        write_arrays(record_file(place, epoch), found)

    train_group(
        lambda latents: of(latents)[1],
        [Member(keys_of(run)[0], run.latents) for run in group],
        images,
        epochs=epochs,
        batch_size=config.batch_size,
        record=record,
        resume=folder,
        progress=progress,
    )
    heading = f"{len(group)} models in {time.perf_counter() - start:.0f} s:"
    progress.finish("\n  ".join([heading, *(_outcome(config, out, run) for run in group)]))


def _outcome(config: Config, out: Path, run: Run) -> str:
    last = read_arrays(record_file(run_folder(out, run), config.epochs))
    name = f"K = {run.latents}, seed {run.seed}"
    if last["failed"]:
        return f"{name}: failed, the loss became NaN or infinite"
    return (
        f"{name}: reconstruction {float(last['reconstruction']):.1f}, KL {float(last['kl']):.1f} "
        f"nats, {int(last['active_units'])} active units"
    )


@cache
def model_of(
    config: Config, image_shape: tuple[int, int, int], latents: int
) -> tuple[VAE, Trainer]:
    """One object for all seeds, so that they share one compilation."""
    vae = _BUILDERS[config.network](image_shape=image_shape, latents=latents, widths=config.widths)
    optimizer = adam_of(config)
    return vae, vae_trainer(vae, beta_vae, optimizer, coefficients={"beta": config.beta})


def adam_of(config: Config) -> optax.GradientTransformation:
    """Adam on the gradient of the mean loss, with the L2 penalty added to it."""
    adam = optax.adam(config.learning_rate, eps=config.epsilon)
    return optax.chain(optax.add_decayed_weights(config.l2), adam)


@cache
def _shapes_of(config: Config, image_shape: tuple[int, int, int], latents: int) -> Variables:
    """Of what a model of so many latents learns."""
    vae, _ = model_of(config, image_shape, latents)
    return jax.eval_shape(vae.init, jax.random.key(0))


def keys_of(run: Run) -> tuple[Key, Key]:
    """Of training and of measuring."""
    train, measure = jax.random.split(jax.random.fold_in(jax.random.key(run.seed), run.latents))
    return train, measure
