"""The measurements of a model at one epoch, and at the last."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.bottleneck.between_models import SPACES
from experiments.bottleneck.config import Config, load
from jaxvae.analysis import ancestral_samples, capture, evaluate, profile, unknown_profile
from jaxvae.analysis.pixels import as_bytes
from jaxvae.data.distinct import first_distinct
from jaxvae.metrics import gride
from jaxvae.metrics.gride import DimensionScale
from jaxvae.models import VAE
from jaxvae.sweeps.sweep import Trained
from jaxvae.training import unit_interval
from jaxvae.typing import ArrayLike

_EXAMPLES = 10
# The farthest neighbor whose distance is compared.
_MAX_RANK = 32


def measure(config: Config, trained: Trained) -> tuple[dict[str, Any], dict[str, Any]]:
    """The measurements of a model that are recorded at every epoch, and at the last one alone.

    A model that has failed has no geometry.
    """
    vae, images = trained.model, trained.dataset.test.images
    if not isinstance(vae, VAE):
        raise ValueError(f"expected a network of one bottleneck, got {trained.config.network}")
    examples = min(_EXAMPLES, config.points)
    noise_key, sample_key = jax.random.split(trained.key)
    evaluation = evaluate(vae, trained.variables, images, key=noise_key)
    failed = trained.stopped or not evaluation.is_finite
    measured = measured_images(config)
    taps = capture(vae, trained.variables, measured, key=noise_key)
    taps |= {name: taps[name][:, : trained.latents] for name in ("mean", "log_variance", "sample")}
    geometry = unknown_profile([*taps]) if failed else profile(taps)
    every = {
        "intrinsic_dimension": geometry.dimension,
        "intrinsic_dimension_stderr": geometry.stderr,
        "distinct_points": geometry.points,
        "imbalance": geometry.imbalance,
        "reconstruction": evaluation.distortion.value,
        "kl": np.sum(evaluation.rates.value),
        "active_units": evaluation.active_units[0],
        "failed": failed,
    }
    if not trained.is_last:
        return every, {}
    samples = ancestral_samples(vae, trained.variables, key=sample_key, n=examples)
    last = {
        "layer": np.array(geometry.layers),
        "example_input": measured[:examples],
        "example_reconstruction": as_bytes(taps["output"][:examples]),
        "example_sample": as_bytes(samples),
    }
    return every, last if failed else last | _at_end(config, taps)


def _at_end(config: Config, taps: Mapping[str, ArrayLike]) -> dict[str, Any]:
    """The measurements at the end alone: the ID of every layer over scales, and the latents."""
    of_input = _scale_of_input(config)
    scales = [of_input if name == "input" else dimension_scale(tap) for name, tap in taps.items()]
    return {
        "scale_dimension": np.stack([scale.values for scale in scales]),
        "scale_dimension_stderr": np.stack([scale.stderrs for scale in scales]),
        "scale_radius": np.stack([scale.radii for scale in scales]),
        "far_neighbor": np.asarray(of_input.ranks)[:, 1],
        **{name: np.asarray(taps[name]) for name in SPACES},
    }


@cache
def measured_images(config: Config) -> np.ndarray:
    """The held-out images that every layer is measured on: the first that are distinct."""
    images = load(config).test.images
    return images[first_distinct(images, config.points)]


@cache
def _scale_of_input(config: Config) -> DimensionScale:
    """The ID of the images over scales, which is the same for all models."""
    return dimension_scale(unit_interval(jnp.asarray(measured_images(config))))


def dimension_scale(layer: ArrayLike) -> DimensionScale:
    """Dimension of a layer from near to far, by Gride."""
    return gride(layer, max_rank=_MAX_RANK)
