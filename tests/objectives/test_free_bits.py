"""Free bits: the plain VAE at zero, and no gradient below the free rate."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.objectives import beta_vae, free_bits, gaussian_kl
from tests.objectives.outputs import draw


def test_without_free_bits_it_is_the_plain_vae():
    outputs = draw()
    loss, terms = free_bits(outputs, free=0.0)
    plain, plain_terms = beta_vae(outputs)
    np.testing.assert_allclose(loss, plain, rtol=1e-6)
    np.testing.assert_allclose(terms[:2], plain_terms, rtol=1e-6)


def test_every_latent_is_charged_its_rate_or_what_is_free():
    outputs = draw()
    rates = gaussian_kl(outputs.mean, outputs.log_variance).mean(axis=0)
    free = float(jnp.median(rates))
    _, terms = free_bits(outputs, free=free)
    np.testing.assert_allclose(terms.charged, np.maximum(rates, free).sum(), rtol=1e-6)
    np.testing.assert_allclose(terms.kl, rates.sum(), rtol=1e-6)


def test_only_latents_above_the_free_rate_are_pressed():
    outputs = draw()
    rates = gaussian_kl(outputs.mean, outputs.log_variance).mean(axis=0)
    free = float(jnp.median(rates)) * 1.001

    def charged(mean):
        return free_bits(outputs._replace(mean=mean), free=free)[1].charged

    pressed = jnp.abs(jax.grad(charged)(outputs.mean)).max(axis=0) > 0
    np.testing.assert_array_equal(pressed, rates > free)
    assert 0 < pressed.sum() < len(pressed)
