"""Outputs of a VAE that no network made."""

from collections import OrderedDict

import jax

from jaxvae.models import Outputs


def draw(*, batch=8, latents=3):
    """Outputs with a true sample, and images."""
    keys = jax.random.split(jax.random.key(0), 5)
    logits = 3 * jax.random.normal(keys[0], (batch, 4, 4, 1))
    mean = jax.random.normal(keys[1], (batch, latents))
    log_variance = jax.random.normal(keys[2], (batch, latents)) - 1
    noise = jax.random.normal(keys[3], (batch, latents))
    sample = mean + jax.numpy.exp(log_variance / 2) * noise
    images = jax.random.uniform(keys[4], logits.shape)
    return Outputs(logits, mean, log_variance, sample, OrderedDict(), {}), images
