"""FactorVAE against reference values, and who may see whose gradient."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.objectives import beta_vae, discriminator_loss, factor_vae
from jaxvae.objectives.factor_vae import cross_entropy, log_density_ratio, permute_latents
from tests.objectives.losses import assert_reference, reference_cases
from tests.objectives.outputs import draw
from tests.reference import load

WEIGHTS = np.random.default_rng(7).normal(size=(3, 2)).astype("f4")


def discriminator(latents, weights=WEIGHTS):
    return jnp.tanh(latents) @ weights


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("case", reference_cases("factor-"))
def test_values_are_those_of_the_reference(case, double):
    inputs, expected = load(case)
    with jax.enable_x64(double):
        dtype = jnp.float64 if double else jnp.float32
        joint, permuted = (
            jnp.asarray(inputs[name], dtype) for name in ("logits_joint", "logits_permuted")
        )
        actual = {
            "discriminator_loss": np.asarray(cross_entropy(joint, permuted)),
            "total_correlation": np.asarray(log_density_ratio(joint)),
        }
    assert_reference(case, actual, expected, double=double)


def test_the_loss_is_the_plain_one_plus_gamma_times_the_total_correlation():
    outputs = draw()
    loss, terms = factor_vae(outputs, discriminator=discriminator, gamma=10.0)
    plain, _ = beta_vae(outputs)
    logits = np.tanh(np.asarray(outputs.sample, np.float64)) @ np.asarray(WEIGHTS, np.float64)
    expected = (logits[:, 0] - logits[:, 1]).mean()
    np.testing.assert_allclose(terms.total_correlation, expected, rtol=1e-5)
    np.testing.assert_allclose(loss, plain + 10 * terms.total_correlation, rtol=1e-6)


def test_the_loss_of_the_discriminator_does_not_reach_the_encoder():
    outputs = draw()

    def loss(sample, weights):
        return discriminator_loss(
            lambda latents: discriminator(latents, weights), sample, jax.random.key(1)
        )

    of_sample, of_weights = jax.grad(loss, argnums=(0, 1))(outputs.sample, WEIGHTS)
    assert jnp.all(of_sample == 0)
    assert jnp.abs(of_weights).max() > 0


def test_a_discriminator_that_cannot_tell_has_a_loss_of_log_two():
    outputs = draw()
    loss = discriminator_loss(
        lambda latents: jnp.zeros((len(latents), 2)), outputs.sample, jax.random.key(0)
    )
    np.testing.assert_allclose(loss, np.log(2), rtol=1e-6)


@pytest.mark.parametrize("shape", ["b 1", "b", "b 3", "1 2", "b 2 1"])
def test_a_discriminator_that_gives_another_shape_is_refused(shape):
    outputs = draw()
    sizes = tuple(len(outputs.sample) if part == "b" else int(part) for part in shape.split())

    def odd(latents):
        return jnp.zeros(sizes)

    with pytest.raises(ValueError, match=r"expected a discriminator that gives \(\d+, 2\) for"):
        jax.eval_shape(lambda: factor_vae(outputs, discriminator=odd, gamma=1.0))
    with pytest.raises(ValueError, match=rf"latents .*, got {re.escape(str(sizes))}"):
        jax.eval_shape(lambda: discriminator_loss(odd, outputs.sample, jax.random.key(0)))


def test_latents_are_permuted_alike_where_float64_is_enabled():
    sample, key = jnp.arange(40.0).reshape(10, 4), jax.random.key(0)
    expected = permute_latents(sample, key)
    with jax.enable_x64(True):
        np.testing.assert_array_equal(permute_latents(sample, key), expected)


def test_permuted_latents_keep_their_values_and_lose_their_rows():
    sample = jnp.broadcast_to(jnp.arange(200.0)[:, None], (200, 4))
    permuted = permute_latents(sample, jax.random.key(0))
    np.testing.assert_array_equal(jnp.sort(permuted, axis=0), sample)
    assert jnp.mean(permuted[:, 0] == permuted[:, 1]) < 0.1
    assert jnp.mean(permuted == sample) < 0.1
