"""What is measured of a model at one epoch."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.analysis import capture, evaluate, profile
from jaxvae.models import VAE, Variables
from jaxvae.typing import Key

_EXAMPLES = 10


def measure_model(
    vae: VAE, variables: Variables, images: np.ndarray, points: int, *, key: Key
) -> dict[str, Any]:
    """Everything that is recorded of one snapshot; NaN for a model that has failed."""
    examples = min(_EXAMPLES, points)
    test_key, tap_key, sample_key = jax.random.split(key, 3)
    evaluation = evaluate(vae, variables, images, key=test_key)
    failed = not (jnp.isfinite(evaluation.reconstruction) and jnp.isfinite(evaluation.kl))
    if failed:
        # Its geometry would be that of NaN: measured on a new model, for names and shapes.
        variables = vae.init(key)
    taps = capture(vae, variables, images[:points], key=tap_key)
    geometry = profile(taps)
    prior = jax.random.normal(sample_key, (examples, vae.latents))
    measured = {
        "intrinsic_dimension": geometry.dimension,
        "intrinsic_dimension_stderr": geometry.stderr,
        "distinct_points": geometry.points,
        "imbalance": geometry.imbalance,
        "reconstruction": np.asarray(evaluation.reconstruction),
        "kl": np.asarray(evaluation.kl),
        "active_units": np.asarray(evaluation.active_units),
        "example_reconstruction": _bytes(taps["output"][:examples]),
        "example_sample": _bytes(vae.decode(variables, prior)),
    }
    if failed:
        measured = {name: np.full_like(v, np.nan, dtype=float) for name, v in measured.items()}
    return measured | {
        "failed": np.asarray(failed),
        "layer": np.array(geometry.layers),
        "example_input": images[:examples],
    }


def _bytes(probabilities: jax.typing.ArrayLike) -> np.ndarray:
    return np.rint(np.asarray(probabilities) * 255).astype(np.uint8)
