"""A run, ready to start: all that would fail later is refused, and nothing is written."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from jaxvae.data import Dataset
from jaxvae.files.refusals import all_pass
from jaxvae.models.hierarchy import HierarchyOutputs
from jaxvae.models.hvae import HVAE
from jaxvae.models.vae import VAE, Outputs
from jaxvae.runs.building import build_model, build_trainer, key_of, refuse_other_coefficients
from jaxvae.runs.choices import LARGEST
from jaxvae.runs.config import RunConfig
from jaxvae.runs.images import dataset_of
from jaxvae.training.epochs import refuse_uneven, steps_per_epoch
from jaxvae.training.memory import refuse_too_large, tree_bytes
from jaxvae.training.trainer import Trainer, TrainState


class ReadyRun(NamedTuple):
    """A run that is ready to be trained: its model, its data and its trainer.

    Attributes:
        config: as it was told.
        dataset: its images, and those to evaluate on.
        vae: the model.
        trainer: what a step is.
        per_epoch: steps of an epoch.
    """

    config: RunConfig
    dataset: Dataset
    vae: VAE | HVAE
    trainer: Trainer
    per_epoch: int

    @property
    def steps(self) -> int:
        """The number of steps in all epochs."""
        return self.config.epochs * self.per_epoch


def ready_run(
    config: RunConfig, *, devices: int = 1, also: Sequence[Callable[[], object]] = ()
) -> ReadyRun:
    """A run whose first step could be taken.

    Args:
        config: configuration of the run.
        devices: number of devices that share every batch.
        also: checks whose refusals are said with those of the settings.

    Raises:
        ValueError: for settings that cannot be trained on the data there is, in the memory
            there is, or evaluated.
    """
    all_pass(
        partial(refuse_uneven, config.batch_size, devices),
        partial(_model_of, config),
        partial(refuse_other_coefficients, config),
        partial(_refuse_few_images, config),
        *also,
    )
    dataset, vae = dataset_of(config), _model_of(config)
    images = dataset.train.images
    trainer = build_trainer(config, vae, dataset_size=len(images))
    run = ReadyRun(config, dataset, vae, trainer, steps_per_epoch(images, config.batch_size))
    if run.steps > LARGEST:
        raise ValueError(
            f"expected at most {LARGEST} steps in all, got {run.steps}; fewer --epochs"
        )
    state = jax.eval_shape(trainer.init, key_of(0))
    outputs = _outputs(vae, state, config.batch_size // devices)
    refuse_too_large(tree_bytes(state), batch=tree_bytes(outputs))
    batch = jax.ShapeDtypeStruct((config.batch_size, *vae.image_shape), images.dtype)
    jax.eval_shape(trainer.step, state, batch)
    return run


def refuse_few(held_out: int, data: str) -> None:
    """Refuse a data set on whose held-out images nothing can be said.

    Raises:
        ValueError: says how many there are.
    """
    if held_out < 2:
        raise ValueError(
            f"expected at least 2 held-out images of {data} to evaluate on, got {held_out}; where "
            "there is no split for testing, a tenth is held out: take a set of 20 images or more"
        )


def _model_of(config: RunConfig) -> VAE | HVAE:
    return build_model(config, dataset_of(config).train.images.shape[1:])


def _refuse_few_images(config: RunConfig) -> None:
    dataset = dataset_of(config)
    steps_per_epoch(dataset.train.images, config.batch_size)
    refuse_few(len(dataset.test.images), config.data)


def _outputs(vae: VAE | HVAE, state: TrainState, batch_size: int) -> Outputs | HierarchyOutputs:
    """Shapes of what the layers make of a batch."""
    images = jax.ShapeDtypeStruct((batch_size, *vae.image_shape), np.float32)
    noise = jax.ShapeDtypeStruct((batch_size, vae.latents), np.float32)
    return jax.eval_shape(vae.apply, state.variables, images, noise)
