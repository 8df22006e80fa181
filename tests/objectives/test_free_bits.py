"""Free bits: the plain VAE at zero, and no gradient below the free rate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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


def test_every_latent_may_have_its_own_free_nats_as_a_list_while_traced_and_mapped():
    outputs = draw()
    rates = gaussian_kl(outputs.mean, outputs.log_variance).mean(axis=0)
    free = np.array([[0.0, 9.0, 1.0], [2.0, 0.5, 0.0]], np.float32)
    mapped = jax.jit(jax.vmap(lambda each: free_bits(outputs, free=each)[1].charged))(free)
    np.testing.assert_allclose(mapped, np.maximum(rates, free).sum(axis=1), rtol=1e-6)
    _, terms = free_bits(outputs, free=free[0].tolist())
    np.testing.assert_allclose(terms.charged, mapped[0], rtol=1e-6)


@pytest.mark.parametrize("shape", [(1,), (5,), (4, 1), (1, 3)])
def test_other_numbers_of_free_nats_are_refused(shape):
    with pytest.raises(ValueError, match="expected free for each of 3 latents, or one for all, go"):
        free_bits(draw(), free=np.ones(shape))


def test_only_latents_above_the_free_rate_are_pressed():
    outputs = draw()
    rates = gaussian_kl(outputs.mean, outputs.log_variance).mean(axis=0)
    free = float(jnp.median(rates)) * 1.001

    def charged(mean):
        return free_bits(outputs._replace(mean=mean), free=free)[1].charged

    pressed = jnp.abs(jax.grad(charged)(outputs.mean)).max(axis=0) > 0
    np.testing.assert_array_equal(pressed, rates > free)
    assert 0 < pressed.sum() < len(pressed)
