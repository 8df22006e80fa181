"""Quality of generated images where a classifier reads its probabilities off the pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.analysis import (
    ancestral_samples,
    class_probabilities,
    classifier_accuracy,
    generation_quality,
)
from jaxvae.models import Classifier, build_hvae, convolutional_classifier, dense_vae, gaussian
from jaxvae.training import train_classifier
from tests.models.hierarchies import Chain
from tests.tiers import parametrize
from tests.training.bars import bars

KEY = jax.random.key(4)
M = 5
# An image of M pixels, whose probabilities are their shares: pixels below 1 / 255 do not count.
READER = Classifier(
    (1, M, 1), M, lambda key: (), lambda params, images: jnp.log(images[:, 0, :, 0] + 1e-30)
)


def read(probabilities):
    return generation_quality(
        READER, (), np.asarray(probabilities, np.float32)[:, None, :, None], key=KEY
    )


def test_certain_classes_in_equal_numbers_have_the_largest_score():
    found = read(np.eye(M)[np.arange(100) % M])
    np.testing.assert_allclose([one.value for one in found[:3]], [M, M, 1], rtol=1e-5)


def test_equal_images_have_no_diversity_beyond_their_uncertainty():
    share = np.array([0.5, 0.5, 0, 0, 0])
    found = read(np.tile(share, (100, 1)))
    np.testing.assert_allclose([one.value for one in found[:3]], [1, 2, 0.5], rtol=1e-5)
    np.testing.assert_allclose([one.stderr for one in found[:3]], 0, atol=1e-5)


def test_one_class_drawn_sharply_has_no_diversity():
    found = read(np.eye(M)[np.zeros(100, int)])
    np.testing.assert_allclose([one.value for one in found[:3]], 1, rtol=1e-5)


def test_the_score_is_diversity_times_sharpness_by_their_definitions():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(M), 200)
    found = read(probabilities)
    mean = probabilities.mean(axis=0)
    diversity = np.exp(-(mean * np.log(mean)).sum())
    sharpness = np.exp((probabilities * np.log(probabilities)).sum(axis=1).mean())
    expected = [diversity * sharpness, diversity, sharpness]
    np.testing.assert_allclose([one.value for one in found[:3]], expected, rtol=1e-5)
    divergences = (probabilities * np.log(probabilities / mean)).sum(axis=1)
    np.testing.assert_allclose(found.information, divergences, rtol=1e-3, atol=1e-5)


def test_the_standard_errors_are_the_spread_over_draws():
    draws = np.random.default_rng(0).dirichlet(np.full(M, 0.5), (100, 200))
    found = [read(draw) for draw in draws]
    for place in range(3):
        values = np.array([one[place].value for one in found])
        errors = np.array([one[place].stderr for one in found])
        # The spread of 100 draws is known to 7%.
        assert 0.75 < values.std(ddof=1) / errors.mean() < 1.25


def test_bytes_are_the_pixels_that_they_stand_for():
    images = np.random.default_rng(0).integers(1, 256, (20, 1, M, 1), dtype=np.uint8)
    expected = images[:, 0, :, 0] / images[:, 0, :, 0].sum(axis=1, keepdims=True)
    for given in (images, images / 255, (images / 255).astype(np.float32)):
        found = class_probabilities(READER, (), given, batch_size=7)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_accuracy_is_the_share_of_the_largest_probabilities():
    images = np.eye(M, dtype=np.uint8)[:, None, :, None]
    found = classifier_accuracy(READER, (), images, np.array([0, 1, 2, 3, 0]))
    assert found.value == 0.8
    assert found.stderr > 0


@pytest.mark.slow
def test_a_trained_classifier_is_right_on_held_out_images():
    classifier = convolutional_classifier(image_shape=(4, 4, 1), classes=3, channels=4, width=8)
    options = {"key": KEY, "epochs": 40, "learning_rate": 0.01}
    params = train_classifier(classifier, *bars(250), **options)
    assert classifier_accuracy(classifier, params, *bars(100, seed=1)).value > 0.95
    # Noise is no row: the classifier is less sure of it, or sees one row.
    held_out = generation_quality(classifier, params, bars(100, seed=1)[0], key=KEY)
    noise = np.random.default_rng(2).integers(0, 128, (100, 4, 4, 1), dtype=np.uint8)
    assert held_out.inception_score.value > 2.7
    assert generation_quality(classifier, params, noise, key=KEY).inception_score.value < 2.7


@parametrize("batch_size", [20, 7])
def test_ancestral_samples_are_decoded_noise_within_the_range_of_pixels(batch_size):
    likelihood = gaussian(standard_deviation=1.0)
    hvae = build_hvae(
        Chain((2, 3), (4, 4, 1)), image_shape=(4, 4, 1), shapes=[(2,), (3,)], likelihood=likelihood
    )
    for model in (hvae, dense_vae(image_shape=(4, 4, 1), latents=3, widths=(5,))):
        variables = jax.jit(model.init)(jax.random.key(0))
        found = ancestral_samples(model, variables, key=KEY, n=20, batch_size=batch_size)
        decoded = jax.jit(model.decode)(variables, jax.random.normal(KEY, (20, model.latents)))
        np.testing.assert_allclose(found, np.clip(decoded, 0, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("arguments", [{"n": 0}, {"n": 3, "batch_size": 0}])
def test_no_samples_are_refused(arguments):
    vae = dense_vae(image_shape=(4, 4, 1), latents=3, widths=(5,))
    with pytest.raises(ValueError, match="expected n and batch_size of at least 1"):
        ancestral_samples(vae, None, key=KEY, **arguments)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.ones((3, 1, 4, 1), np.uint8), r"expected images \[n, 1, 5, 1\], got \(3, 1, 4, 1\)"),
        (np.ones((0, 1, M, 1), np.uint8), r"expected images \[n, 1, 5, 1\], got \(0, "),
        (np.full((3, 1, M, 1), 1.5), r"floats in \[0, 1\], got floats from 1.5"),
        (np.full((3, 1, M, 1), np.nan), r"floats in \[0, 1\], got NaN"),
        (np.ones((3, 1, M, 1), np.int64), r"floats in \[0, 1\], got int64"),
    ],
)
def test_images_that_the_classifier_does_not_take_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        generation_quality(READER, (), images, key=KEY, parts=2)
