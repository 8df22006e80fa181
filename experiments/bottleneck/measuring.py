"""What is measured of a model at one epoch, and at the last."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from experiments.records import as_bytes
from jaxvae.analysis import capture, evaluate, profile
from jaxvae.analysis.profile import Profile
from jaxvae.metrics import gride
from jaxvae.metrics.gride import DimensionScale
from jaxvae.models import VAE, Variables
from jaxvae.typing import ArrayLike, Key

_EXAMPLES = 10
# Layers in which models are compared with each other.
SPACES = ("mean", "sample")
# The farthest neighbor whose distance is compared.
_MAX_RANK = 32


def measure_model(
    vae: VAE, variables: Variables, images: np.ndarray, points: int, *, latents: int, key: Key
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Everything that is recorded of one snapshot, and the layers that it was measured on.

    A model that has failed has no geometry.

    Args:
        vae: the largest that the model was trained with: one program evaluates all of them.
        variables: what the model has learned, padded with zeros, so that latents that it
            lacks have no rate and change no image.
        images: held-out images, `[n, h, w, c]`.
        points: how many of them the geometry is measured on.
        latents: of the model itself.
        key: of the noise.
    """
    examples = min(_EXAMPLES, points)
    noise_key, sample_key = jax.random.split(key)
    evaluation = evaluate(vae, variables, images, key=noise_key)
    failed = not np.isfinite([evaluation.reconstruction, evaluation.kl]).all()
    taps = capture(vae, variables, images[:points], key=noise_key)
    taps |= {name: taps[name][:, :latents] for name in ("mean", "log_variance", "sample")}
    geometry = _unknown(tuple(taps)) if failed else profile(taps)
    found = {
        "intrinsic_dimension": geometry.dimension,
        "intrinsic_dimension_stderr": geometry.stderr,
        "distinct_points": geometry.points,
        "imbalance": geometry.imbalance,
        "reconstruction": np.asarray(evaluation.reconstruction),
        "kl": np.asarray(evaluation.kl),
        "active_units": np.asarray(evaluation.active_units),
        "example_reconstruction": as_bytes(taps["output"][:examples]),
        "example_sample": as_bytes(_samples(vae, variables, sample_key, count=examples)),
        "failed": np.asarray(failed),
        "layer": np.array(geometry.layers),
        "example_input": images[:examples],
    }
    return found, taps


def measure_end(taps: Mapping[str, ArrayLike], *, of_input: DimensionScale) -> dict[str, Any]:
    """What is recorded at the last epoch alone: dimension over scales, and the latents.

    Args:
        taps: layers by name, as `measure_model` returns them.
        of_input: `dimension_scale` of the input, which is the same for all models.
    """
    scales = [of_input if name == "input" else dimension_scale(tap) for name, tap in taps.items()]
    return {
        "scale_dimension": np.stack([scale.values for scale in scales]),
        "scale_dimension_stderr": np.stack([scale.stderrs for scale in scales]),
        "scale_radius": np.stack([scale.radii for scale in scales]),
        "far_neighbor": np.asarray(of_input.ranks)[:, 1],
        **{name: np.asarray(taps[name]) for name in SPACES},
    }


def dimension_scale(layer: ArrayLike) -> DimensionScale:
    """Dimension of a layer from near to far, by Gride."""
    return gride(layer, max_rank=_MAX_RANK)


@partial(jax.jit, static_argnames=("vae", "count"))
def _samples(vae: VAE, variables: Variables, key: Key, *, count: int) -> jax.Array:
    """Images of latents drawn from the prior."""
    return vae.decode(variables, jax.random.normal(key, (count, vae.latents)))


def _unknown(layers: tuple[str, ...]) -> Profile:
    """Of a model that has failed."""
    count = len(layers)
    unknown = np.full(count, np.nan)
    return Profile(layers, unknown, unknown, np.zeros(count, int), np.full((count, count), np.nan))
