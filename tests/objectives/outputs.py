"""Outputs of a VAE that no network made."""

from collections import OrderedDict

import jax

from jaxvae.models import Outputs


def draw(*, batch=8, latents=3):
    """Outputs with a true sample."""
    keys = jax.random.split(jax.random.key(0), 4)
    nll = 3 * jax.random.uniform(keys[0], (batch,))
    mean = jax.random.normal(keys[1], (batch, latents))
    log_variance = jax.random.normal(keys[2], (batch, latents)) - 1
    noise = jax.random.normal(keys[3], (batch, latents))
    sample = mean + jax.numpy.exp(log_variance / 2) * noise
    return Outputs(nll, mean, log_variance, sample, None, OrderedDict(), {})
