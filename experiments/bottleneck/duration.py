"""How long a group of models takes, before it is trained."""

import math
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp

from experiments.bottleneck.config import Config, Run
from experiments.bottleneck.records import missing_epochs
from experiments.estimate import Seconds, epochs_left, geometry_seconds, training_step
from jaxvae.models import VAE
from jaxvae.training import Trainer, steps_per_epoch
from jaxvae.typing import ArrayLike


def seconds_of(
    config: Config,
    out: Path,
    group: Sequence[Run],
    largest: tuple[VAE, Trainer],
    *,
    images: ArrayLike,
    test_images: ArrayLike,
) -> Seconds:
    """What is left of a group.

    Args:
        config: of the sweep.
        out: its folder.
        group: models that are trained together.
        largest: the model and the trainer of the largest of them.
        images: to train on.
        test_images: to measure on.
    """
    vae, trainer = largest
    missing = [epoch for run in group for epoch in missing_epochs(config, out, run)]
    step = training_step(trainer, vae.image_shape, config.batch_size)
    epochs = epochs_left(config.measured_epochs, missing)
    steps = epochs * steps_per_epoch(images, config.batch_size) * len(group)
    # A step goes forward once, and backward at twice the cost.
    evaluation = len(test_images) / config.batch_size * step.seconds / 3
    measurement = evaluation + geometry_seconds(config.points, _features(vae))
    sizes = len({run.latents for run in group})
    return Seconds(step.many(steps, sizes=sizes), len(missing) * measurement)


def _features(vae: VAE) -> list[int]:
    """How many numbers every layer has for an image."""
    images = jax.ShapeDtypeStruct((1, *vae.image_shape), jnp.float32)
    noise = jax.ShapeDtypeStruct((1, vae.latents), jnp.float32)
    variables = jax.eval_shape(vae.init, jax.random.key(0))
    taps = jax.eval_shape(vae.apply, variables, images, noise).taps
    return [math.prod(tap.shape) for tap in taps.values()]
