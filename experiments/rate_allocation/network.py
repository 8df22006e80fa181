"""The hierarchy that all cells train, and their keys."""

from collections.abc import Callable
from functools import partial

import jax

from experiments.rate_allocation.config import Cell, Config
from jaxvae.models import HVAE, Likelihood, bernoulli, deep_hvae, gaussian, two_layer_hvae
from jaxvae.typing import Key


def build_network(config: Config, image_shape: tuple[int, int, int]) -> HVAE:
    """The hierarchy that all cells train.

    Raises:
        ValueError: for images that it cannot take.
    """
    likelihood: Likelihood = (
        bernoulli()
        if config.likelihood == "bernoulli"
        else gaussian(standard_deviation=config.standard_deviation)
    )
    build: Callable[..., HVAE]
    if config.network == "deep":
        build = partial(deep_hvae, blocks=config.blocks)
    else:
        build = partial(two_layer_hvae, top=config.top)
    return build(image_shape=image_shape, channels=config.channels, likelihood=likelihood)


def keys_of(cell: Cell) -> tuple[Key, Key]:
    """Of training and of measuring: those of its seed, so that cells differ in prices only."""
    train, measure = jax.random.split(jax.random.key(cell.seed))
    return train, measure
