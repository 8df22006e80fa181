"""The hierarchy that all cells train, and their keys."""

import dataclasses
import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import numpy as np

from experiments.rate_allocation.config import Cell, Config
from jaxvae.models import (
    HVAE,
    Likelihood,
    bernoulli,
    deep_hvae,
    gaussian,
    logistic_mixture,
    one_layer_hvae,
    two_layer_hvae,
)
from jaxvae.typing import Key


def build_network(config: Config, image_shape: tuple[int, int, int]) -> HVAE:
    """The hierarchy that all cells train.

    Raises:
        ValueError: for images that it cannot take.
    """
    two_layers = partial(two_layer_hvae, top=config.top)
    networks: dict[str, Callable[..., HVAE]] = {
        "two_layer": two_layers,
        "ladder": partial(two_layers, ladder=True),
        "deep": partial(deep_hvae, blocks=config.blocks),
        "one_layer": partial(_one_layer, config),
    }
    build, likelihood = networks[config.network], _likelihood(config)
    return build(image_shape=image_shape, channels=config.channels, likelihood=likelihood)


def _one_layer(config: Config, *, image_shape: tuple[int, int, int], **settings: Any) -> HVAE:
    width = _width_of_the_same_size(config, image_shape)
    return one_layer_hvae(image_shape=image_shape, width=width, **settings)


@cache
def _width_of_the_same_size(config: Config, image_shape: tuple[int, int, int]) -> int:
    """With which the one-layer network has the parameters of the two-layer one, or nearly."""
    two_layers = build_network(dataclasses.replace(config, network="two_layer"), image_shape)
    build = partial(
        one_layer_hvae,
        image_shape=image_shape,
        channels=config.channels,
        likelihood=_likelihood(config),
    )
    # Their number is a quadratic function of the width.
    widths = np.arange(1, 4)
    square, linear, rest = np.polyfit(widths, [_size(build(width=int(w))) for w in widths], 2)
    missing = _size(two_layers) - rest
    return max(1, round((np.sqrt(linear**2 + 4 * square * missing) - linear) / (2 * square)))


def _size(hvae: HVAE) -> int:
    """Numbers that are learned."""
    params = jax.eval_shape(hvae.init, jax.random.key(0)).params
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def _likelihood(config: Config) -> Likelihood:
    if config.likelihood == "gaussian":
        return gaussian(standard_deviation=config.standard_deviation)
    return {"bernoulli": bernoulli, "logistic_mixture": logistic_mixture}[config.likelihood]()


def keys_of(cell: Cell) -> tuple[Key, Key]:
    """Of training and of measuring: those of its seed, so that cells differ in prices only."""
    train, measure = jax.random.split(jax.random.key(cell.seed))
    return train, measure
