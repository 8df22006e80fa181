"""The beta-VAE objective: its terms, its weight and its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.objectives import beta_vae
from tests.objectives.outputs import draw


def definition(outputs):
    """Loops in float64: sums over latents, means over images."""
    kl = []
    for mean, log_variance in zip(outputs.mean, outputs.log_variance, strict=True):
        m, v = np.asarray(mean, np.float64), np.asarray(log_variance, np.float64)
        kl.append(sum((a**2 + np.exp(b) - b - 1) / 2 for a, b in zip(m, v, strict=True)))
    return np.mean(np.asarray(outputs.nll, np.float64)), np.mean(kl)


def test_the_terms_are_sums_over_dimensions_and_means_over_images():
    outputs = draw()
    _, terms = beta_vae(outputs)
    np.testing.assert_allclose(terms, definition(outputs), rtol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_the_loss_is_the_reconstruction_plus_beta_times_the_rate(beta):
    outputs = draw()
    loss, terms = beta_vae(outputs, beta=beta)
    np.testing.assert_allclose(loss, terms.reconstruction + beta * terms.kl, rtol=1e-6)


def test_the_terms_do_not_depend_on_beta():
    outputs = draw()
    np.testing.assert_array_equal(beta_vae(outputs, beta=10.0)[1], beta_vae(outputs)[1])


def test_beta_may_be_traced():
    outputs = draw()
    losses = jax.vmap(lambda beta: beta_vae(outputs, beta=beta)[0])(jnp.array([1.0, 4.0]))
    expected = [beta_vae(outputs, beta=beta)[0] for beta in (1.0, 4.0)]
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
