"""Held-out rates against float64 sums over the captured layers."""

import jax
import numpy as np
import pytest

from jaxvae.analysis import capture, evaluate
from jaxvae.metrics import latent_types
from jaxvae.models import Variables, dense_vae

VAE = dense_vae(image_shape=(4, 4, 1), latents=3, widths=(5,))
IMAGES = np.random.default_rng(0).integers(0, 256, (23, 4, 4, 1), dtype=np.uint8)
KEY = jax.random.key(5)


@pytest.fixture(scope="module")
def variables():
    """Initial weights, with the mean of the last latent cut off from the image."""
    params, statistics = jax.jit(VAE.init)(jax.random.key(0))
    mean = {"kernel": params["mean"]["kernel"].at[:, 2].set(0), "bias": params["mean"]["bias"]}
    return Variables({**params, "mean": mean}, statistics)


@pytest.fixture(scope="module")
def evaluation(variables):
    return evaluate(VAE, variables, IMAGES, key=KEY)


@pytest.fixture(scope="module")
def taps(variables):
    layers = capture(VAE, variables, IMAGES, key=KEY)
    return {name: tap.astype(np.float64) for name, tap in layers.items()}


def test_the_reconstruction_is_the_cross_entropy_of_the_output(evaluation, taps):
    images, output = IMAGES / 255, taps["output"]
    entropies = -(images * np.log(output) + (1 - images) * np.log1p(-output))
    expected = entropies.sum(axis=(1, 2, 3)).mean()
    # The logarithm of probabilities that were rounded to float32.
    assert float(evaluation.distortion.value) == pytest.approx(expected, rel=1e-5)


def test_the_rate_of_a_latent_is_its_mean_divergence_from_the_prior(evaluation, taps):
    mean, log_variance = taps["mean"], taps["log_variance"]
    expected = ((mean**2 + np.exp(log_variance) - log_variance - 1) / 2).mean(axis=0)
    np.testing.assert_allclose(evaluation.number_rates[0], expected, rtol=1e-5, atol=1e-7)


def test_the_rate_is_the_sum_over_latents(evaluation):
    np.testing.assert_allclose(
        evaluation.rates.value, [evaluation.number_rates[0].sum()], rtol=1e-6
    )


def test_a_latent_that_ignores_the_image_is_not_active(evaluation, taps):
    assert int(evaluation.active_units[0]) == np.sum(taps["mean"].var(axis=0) > 0.01) == 2


@pytest.mark.parametrize("batch_size", [7, 23])
def test_rates_do_not_depend_on_the_batch_size(variables, evaluation, batch_size):
    other = evaluate(VAE, variables, IMAGES, key=KEY, batch_size=batch_size)
    for one, expected in zip(jax.tree.leaves(other), jax.tree.leaves(evaluation), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-7)


def test_float_images_are_refused(variables):
    with pytest.raises(ValueError, match="expected uint8 images"):
        evaluate(VAE, variables, IMAGES / 255, key=KEY)


def test_images_of_0_and_1_are_refused(variables):
    with pytest.raises(ValueError, match="got only 0 and 1; multiply by 255"):
        evaluate(VAE, variables, (IMAGES > 99).astype(np.uint8), key=KEY)


def test_latents_are_sorted_by_their_variances(evaluation, taps):
    expected = latent_types(np.exp(taps["log_variance"]))
    for one, other in zip(evaluation.latent_types[0], expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_vae_is_a_hierarchy_of_one_layer(evaluation, taps):
    """The errors over examples, the decided latents and the PSNR are those of hierarchies."""
    mean, log_variance = taps["mean"], taps["log_variance"]
    rates = ((mean**2 + np.exp(log_variance) - log_variance - 1) / 2).sum(axis=1)
    error = rates.std(ddof=1) / len(IMAGES) ** 0.5
    np.testing.assert_allclose(evaluation.rates.stderr, [error], rtol=1e-5)
    squared = ((taps["output"] - IMAGES / 255) ** 2).mean()
    np.testing.assert_allclose(evaluation.psnr.value, -10 * np.log10(squared), rtol=1e-5)


def test_standard_errors_hold_the_noise_of_the_posterior_draws(variables):
    """Of one image, repeated, nothing else differs: the error is the spread over keys."""
    copies = np.repeat(IMAGES[:1], 200, axis=0)
    found = [evaluate(VAE, variables, copies, key=key) for key in jax.random.split(KEY, 100)]
    distortions = np.array([each.distortion.value for each in found])
    stated = np.mean([each.distortion.stderr for each in found])
    # The spread of 100 numbers is known to 7%.
    assert distortions.std(ddof=1) == pytest.approx(stated, rel=0.25)
