"""The beta-VAE objective: its terms, its weight and its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.objectives import beta_vae
from tests.objectives.outputs import draw


def definition(outputs, images):
    """Loops in float64: sums over pixels and latents, means over images."""
    reconstruction, kl = [], []
    for logits, mean, log_variance, image in zip(*outputs[:3], images, strict=True):
        x, t = np.asarray(logits, np.float64).ravel(), np.asarray(image, np.float64).ravel()
        reconstruction.append(sum(np.logaddexp(0, a) - b * a for a, b in zip(x, t, strict=True)))
        m, v = np.asarray(mean, np.float64), np.asarray(log_variance, np.float64)
        kl.append(sum((a**2 + np.exp(b) - b - 1) / 2 for a, b in zip(m, v, strict=True)))
    return np.mean(reconstruction), np.mean(kl)


def test_the_terms_are_sums_over_dimensions_and_means_over_images():
    outputs, images = draw()
    _, terms = beta_vae(outputs, images)
    np.testing.assert_allclose(terms, definition(outputs, images), rtol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_the_loss_is_the_reconstruction_plus_beta_times_the_rate(beta):
    outputs, images = draw()
    loss, terms = beta_vae(outputs, images, beta=beta)
    np.testing.assert_allclose(loss, terms.reconstruction + beta * terms.kl, rtol=1e-6)


def test_the_terms_do_not_depend_on_beta():
    outputs, images = draw()
    np.testing.assert_array_equal(
        beta_vae(outputs, images, beta=10.0)[1], beta_vae(outputs, images)[1]
    )


def test_beta_may_be_traced():
    outputs, images = draw()
    losses = jax.vmap(lambda beta: beta_vae(outputs, images, beta=beta)[0])(jnp.array([1.0, 4.0]))
    expected = [beta_vae(outputs, images, beta=beta)[0] for beta in (1.0, 4.0)]
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_loss_and_gradients_are_finite_at_extreme_logits(size):
    outputs, images = draw()

    def loss(logits):
        return beta_vae(outputs._replace(logits=logits), images)[0]

    value, gradients = jax.value_and_grad(loss)(size * jnp.sign(outputs.logits))
    assert jnp.isfinite(value)
    assert jnp.all(jnp.isfinite(gradients))
