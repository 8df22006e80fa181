"""The Bernoulli likelihood against its definition, its extremes and reference values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.objectives import bernoulli_nll
from tests.objectives.losses import assert_reference, reference_cases
from tests.reference import load

EXTREME = [-1e30, -1e4, -100.0, 0.0, 100.0, 1e4, 1e30]


def definition(logits, images):
    logits, images = np.asarray(logits, np.float64), np.asarray(images, np.float64)
    terms = np.logaddexp(0, logits) - images * logits
    return terms.reshape(len(terms), -1).sum(axis=1)


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("case", reference_cases("bernoulli-"))
def test_values_are_those_of_the_reference(case, double):
    inputs, expected = load(case)
    with jax.enable_x64(double):
        dtype = jnp.float64 if double else jnp.float32
        rows = bernoulli_nll(jnp.asarray(inputs["logits"], dtype), jnp.asarray(inputs["x"], dtype))
        actual = {"nll": np.asarray(rows.mean()), "nll_rows": np.asarray(rows)}
    assert_reference(case, actual, expected, double=double)


def test_every_image_has_the_definition_in_float64():
    logit_key, image_key = jax.random.split(jax.random.key(0))
    logits = 5 * jax.random.normal(logit_key, (6, 9, 9, 3))
    images = jax.random.uniform(image_key, logits.shape)
    # 243 positive float32 terms.
    np.testing.assert_allclose(bernoulli_nll(logits, images), definition(logits, images), rtol=1e-5)


def test_binary_images_have_the_log_probability_of_their_pixels():
    logits = jnp.array([[0.3, -1.2, 2.0]])
    probability = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    expected = (
        -np.log(probability[0, 0]) - np.log(1 - probability[0, 1]) - np.log(probability[0, 2])
    )
    np.testing.assert_allclose(
        bernoulli_nll(logits, jnp.array([[1.0, 0.0, 1.0]])), [expected], rtol=1e-6
    )


def test_the_minimum_over_logits_is_the_entropy_of_the_pixel():
    image = jnp.array([[0.2]])
    best = jnp.log(image / (1 - image))
    entropy = -(0.2 * np.log(0.2) + 0.8 * np.log(0.8))
    np.testing.assert_allclose(bernoulli_nll(best, image), [entropy], rtol=1e-6)


@pytest.mark.parametrize("logit", EXTREME)
@pytest.mark.parametrize("pixel", [0.0, 0.5, 1.0])
def test_it_is_finite_at_extreme_logits(logit, pixel):
    actual = bernoulli_nll(jnp.array([[logit]]), jnp.array([[pixel]]))
    np.testing.assert_allclose(actual, definition([[logit]], [[pixel]]), rtol=1e-6, atol=1e-38)


@pytest.mark.parametrize("logit", EXTREME)
def test_its_gradient_is_the_probability_minus_the_pixel_at_extreme_logits(logit):
    gradient = jax.grad(lambda x: bernoulli_nll(x, jnp.array([[0.25]])).sum())(jnp.array([[logit]]))
    probability = 0.0 if logit < -50 else 1.0 if logit > 50 else 0.5
    np.testing.assert_allclose(gradient, [[probability - 0.25]], atol=1e-6)


def test_pixels_may_have_any_shape():
    logits = jax.random.normal(jax.random.key(0), (3, 4, 5, 2))
    images = jax.random.uniform(jax.random.key(1), logits.shape)
    flat = bernoulli_nll(logits.reshape(3, -1), images.reshape(3, -1))
    np.testing.assert_array_equal(bernoulli_nll(logits, images), flat)
