"""All models of a grid, as runs that `jaxvae train` could train, and their data."""

import dataclasses
from functools import cache
from typing import Any

import numpy as np

from experiments.rate_allocation.config import Config, grid_models
from jaxvae.data import Dataset
from jaxvae.models import HVAE
from jaxvae.runs.building import build_model, parameter_count
from jaxvae.runs.config import RunConfig
from jaxvae.runs.images import dataset_of
from jaxvae.training import steps_per_epoch
from jaxvae.typing import ImageShape

# What the names of the runs of one-layer VAEs begin with.
BASELINE = "baseline/"
_NETWORKS = {
    "two_layer": "two_layer_hvae",
    "ladder": "two_layer_hvae",
    "deep": "deep_hvae",
    "one_layer": "one_layer_hvae",
}


def runs(config: Config) -> dict[str, RunConfig]:
    """The cells of the grid, and the one-layer VAEs beside it, by the names of their runs.

    Raises:
        ValueError: for images that the network cannot take.
    """
    every = _runs_of_grid(config)
    if config.baseline:
        line = _runs_of_grid(baseline_of(config))
        every |= {f"{BASELINE}{name}": run for name, run in line.items()}
    return every


def load(config: Config) -> Dataset:
    """The data of all models."""
    return dataset_of(_on_data(config), test_size=config.test_size)


def baseline_of(config: Config) -> Config:
    """The configuration of the one-layer VAEs: a line with every beta of the grid."""
    betas = tuple(sorted({*config.beta_top, *config.beta_bottom}))
    return dataclasses.replace(
        config, network="one_layer", beta_top=betas, beta_bottom=(1.0,), baseline=False
    )


def shared_run(config: Config, image_shape: ImageShape, *, steps: int) -> RunConfig:
    """The settings that the runs of all cells share: all but their betas and seeds.

    Args:
        config: configuration of the grid.
        image_shape: shape of the images of the data.
        steps: steps of training.
    """
    warmup = round(config.beta_warmup * steps)
    return dataclasses.replace(
        _on_data(config),
        network=_NETWORKS[config.network],
        options=_options(config, image_shape),
        ramps={"beta": warmup} if warmup else {},
    )


def _runs_of_grid(config: Config) -> dict[str, RunConfig]:
    images = load(config).train.images
    steps = config.epochs * steps_per_epoch(images, config.batch_size)
    shared = shared_run(config, images.shape[1:], steps=steps)
    network = build_model(shared, images.shape[1:])
    layers = len(network.shapes) if isinstance(network, HVAE) else 1
    by_name = {}
    for model in grid_models(config):
        betas = model.betas(layers)
        beta = {"beta": betas if layers > 1 else betas[0]}
        by_name[model.name] = dataclasses.replace(shared, coefficients=beta, seed=model.seed)
    return by_name


def _on_data(config: Config) -> RunConfig:
    """The settings that the runs of all networks have in common."""
    gaussian = config.likelihood == "gaussian"
    return RunConfig(
        data=config.data,
        **config.image_settings,
        train_size=config.train_size,
        binarize=config.binarize,
        likelihood=config.likelihood,
        likelihood_options={"standard_deviation": config.standard_deviation} if gaussian else {},
        objective="hierarchical_vae",
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
        epochs=config.epochs,
    )


def _options(config: Config, image_shape: ImageShape) -> dict[str, Any]:
    own: dict[str, Any] = {"top": config.top, "ladder": config.network == "ladder"}
    if config.network == "deep":
        own = {"blocks": list(config.blocks)}
    if config.network == "one_layer":
        own = {"width": _width_of_the_same_size(config, image_shape)}
    return {"channels": config.channels, **own}


@cache
def _width_of_the_same_size(config: Config, image_shape: ImageShape) -> int:
    """The width at which the one-layer network has as many parameters as the two-layer one."""
    two_layers = dataclasses.replace(config, network="two_layer")

    def size(network: str, **options: Any) -> int:
        run = dataclasses.replace(_on_data(config), network=network, options=options)
        return parameter_count(build_model(run, image_shape))

    # Their number is a quadratic function of the width.
    widths = np.arange(1, 4)
    sizes = [size("one_layer_hvae", channels=config.channels, width=int(w)) for w in widths]
    square, linear, rest = np.polyfit(widths, sizes, 2)
    missing = size("two_layer_hvae", **_options(two_layers, image_shape)) - rest
    return max(1, round((np.sqrt(linear**2 + 4 * square * missing) - linear) / (2 * square)))
