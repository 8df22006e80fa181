"""Outputs of a VAE that no network made."""

from collections import OrderedDict

import jax.numpy as jnp
import numpy as np

from jaxvae.models import Outputs


def draw(*, batch=8, latents=3):
    """Outputs with a true sample."""
    random = np.random.default_rng(0)
    nll = 3 * random.uniform(size=batch)
    mean, log_variance, noise = random.normal(size=(3, batch, latents))
    log_variance -= 1
    sample = mean + np.exp(log_variance / 2) * noise
    drawn = (jnp.asarray(each, jnp.float32) for each in (nll, mean, log_variance, sample))
    return Outputs(*drawn, None, OrderedDict(), {})
