"""How well a trained model does on held-out images."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvae.analysis.capture import evaluated
from jaxvae.metrics.latents import LatentTypes, active_units, latent_types
from jaxvae.models.vae import VAE, Variables
from jaxvae.objectives.divergences import gaussian_kl
from jaxvae.typing import ArrayLike, Key


class Evaluation(NamedTuple):
    """Held-out rates of a VAE.

    Attributes:
        reconstruction: `[]`, negative log-likelihood, nats per image (sum over
            pixels, mean over images, one posterior sample each).
        kl: `[]`, KL divergence from the prior, nats per image.
        kl_per_latent: `[k]`, the same for every latent.
        active_units: `[]`, latents whose mean varies by more than 0.01.
        latent_types: which latents are active, mixed and passive.
    """

    reconstruction: Float[Array, ""]
    kl: Float[Array, ""]
    kl_per_latent: Float[Array, " k"]
    active_units: Float[Array, ""]
    latent_types: LatentTypes


def evaluate(
    vae: VAE, variables: Variables, images: ArrayLike, *, key: Key, batch_size: int = 1000
) -> Evaluation:
    """Rates and active units of a trained model, in evaluation mode.

    Args:
        vae: the model.
        variables: what it learned.
        images: uint8 `[n, h, w, c]`.
        key: of the posterior noise.
        batch_size: examples on the device at a time.
    """
    batches = evaluated(vae, variables, images, key=key, batch_size=batch_size)
    found = jax.device_get([(each.nll, each.mean, each.log_variance) for each in batches])
    return _evaluation(*map(np.concatenate, zip(*found, strict=True)))


@jax.jit
def _evaluation(
    nll: Float[Array, " n"], mean: Float[Array, "n k"], log_variance: Float[Array, "n k"]
) -> Evaluation:
    per_latent = jnp.mean(gaussian_kl(mean, log_variance), axis=0)
    return Evaluation(
        jnp.mean(nll),
        jnp.sum(per_latent),
        per_latent,
        jnp.sum(active_units(mean)),
        latent_types(jnp.exp(log_variance)),
    )
