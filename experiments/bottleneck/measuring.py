"""What is measured of a model at one epoch."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.records import as_bytes
from jaxvae.analysis import capture, evaluate, profile
from jaxvae.analysis.profile import Profile
from jaxvae.models import VAE, Variables
from jaxvae.typing import Key

_EXAMPLES = 10


def measure_model(
    vae: VAE, variables: Variables, images: np.ndarray, points: int, *, key: Key
) -> dict[str, Any]:
    """Everything that is recorded of one snapshot; no geometry of a model that has failed."""
    examples = min(_EXAMPLES, points)
    test_key, tap_key, sample_key = jax.random.split(key, 3)
    evaluation = evaluate(vae, variables, images, key=test_key)
    failed = not (jnp.isfinite(evaluation.reconstruction) and jnp.isfinite(evaluation.kl))
    taps = capture(vae, variables, images[:points], key=tap_key)
    geometry = _unknown(tuple(taps)) if failed else profile(taps)
    prior = jax.random.normal(sample_key, (examples, vae.latents))
    return {
        "intrinsic_dimension": geometry.dimension,
        "intrinsic_dimension_stderr": geometry.stderr,
        "distinct_points": geometry.points,
        "imbalance": geometry.imbalance,
        "reconstruction": np.asarray(evaluation.reconstruction),
        "kl": np.asarray(evaluation.kl),
        "active_units": np.asarray(evaluation.active_units),
        "example_reconstruction": as_bytes(taps["output"][:examples]),
        "example_sample": as_bytes(vae.decode(variables, prior)),
        "failed": np.asarray(failed),
        "layer": np.array(geometry.layers),
        "example_input": images[:examples],
    }


def _unknown(layers: tuple[str, ...]) -> Profile:
    """Of a model that has failed."""
    count = len(layers)
    unknown = np.full(count, np.nan)
    return Profile(layers, unknown, unknown, np.zeros(count, int), np.full((count, count), np.nan))
