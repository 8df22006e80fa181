"""The speed of training, of one model or several in one program."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.bench.timing import timed
from jaxvae.models import HVAE, VAE
from jaxvae.runs.building import build_model, build_trainer, key_of
from jaxvae.runs.choices import default_objective, named_network
from jaxvae.runs.config import RunConfig
from jaxvae.training import Member, init_ensemble, train_ensemble

# A call takes so many steps: an epoch of random images, whose content costs nothing.
_STEPS = 20


class TrainingSpeed(NamedTuple):
    """The speed of training on this device.

    Attributes:
        network: its name in `jaxvae.models`.
        image_size: height and width of the images, which have one channel.
        batch_size: images a step.
        members: models trained in one program.
        compile_seconds: what the first call took longer than later ones.
        milliseconds: milliseconds of a step of one model.
        images_per_second: over all models.
    """

    network: str
    image_size: int
    batch_size: int
    members: int
    compile_seconds: float
    milliseconds: float
    images_per_second: float

    def models_per_hour(self, *, epochs: int, images: int) -> float:
        """Models trained for so many epochs of so many images."""
        return 3600 * self.images_per_second / (epochs * images)


def training_speed(
    network: str, *, image_size: int, batch_size: int, members: int
) -> TrainingSpeed:
    """Time epochs of a network on random gray images, as `jaxvae sweep` trains it.

    Args:
        network: its name in `jaxvae.models`.
        image_size: height and width of the images.
        batch_size: images a step.
        members: models in one program, which differ in their seeds.

    Raises:
        ValueError: for a network that there is not, or that does not take such images.
    """
    config, model = trained_model(network, image_size=image_size, batch_size=batch_size)
    trainer = build_trainer(config, model, dataset_size=_STEPS * batch_size)
    shape = (_STEPS * batch_size, image_size, image_size, 1)
    images = jnp.asarray(np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8))
    keys = jax.random.split(key_of(0), members)
    ensemble = init_ensemble(lambda _: trainer, [Member(key, model.latents) for key in keys])
    timing = timed(
        partial(train_ensemble, trainer, ensemble, images, epochs=1, batch_size=batch_size)
    )
    return TrainingSpeed(
        network,
        image_size,
        batch_size,
        members,
        max(0.0, timing.first - timing.later),
        1e3 * timing.later / (_STEPS * members),
        members * len(images) / timing.later,
    )


def trained_model(
    network: str, *, image_size: int, batch_size: int
) -> tuple[RunConfig, VAE | HVAE]:
    """The model that is timed, with the default settings of its network.

    Raises:
        ValueError: for a network that there is not, or that does not take such images.
    """
    objective = default_objective(named_network(network))
    config = RunConfig(network=network, objective=objective, batch_size=batch_size)
    return config, build_model(config, (image_size, image_size, 1))
