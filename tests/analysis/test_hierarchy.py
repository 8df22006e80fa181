"""Rates and distortions of hierarchies, against linear-Gaussian ones that are known exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.analysis import capture, evaluate
from jaxvae.analysis.estimate import mean_estimate, share_estimate
from jaxvae.models import Gaussian, build_hvae
from tests.analysis import linear
from tests.models.hierarchies import Chain, LinearGaussian

KEY = jax.random.key(3)
HVAE = linear.hierarchy()
X = linear.pixels()


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(HVAE, linear.NOTHING, linear.IMAGES, key=KEY)


def assert_within(estimate, expected, errors=4):
    assert np.all(np.abs(estimate.value - expected) <= errors * estimate.stderr)


def test_the_top_rate_is_exact(evaluation):
    expected = linear.top_rates(X)
    np.testing.assert_allclose(evaluation.rates.value[0], expected.mean(), rtol=1e-5)
    error = expected.std(ddof=1) / len(X) ** 0.5
    np.testing.assert_allclose(evaluation.rates.stderr[0], error, rtol=1e-5)


def test_the_bottom_rate_and_the_distortion_are_the_expected_ones(evaluation):
    assert_within(
        type(evaluation.rates)(evaluation.rates.value[1], evaluation.rates.stderr[1]),
        linear.bottom_rates(X, X).mean(),
    )
    assert_within(evaluation.distortion, linear.nll(linear.squared_errors(X, X, X)).mean())


def test_decided_latents_leave_nothing_to_chance(evaluation):
    squared = linear.squared_errors(X, X, X, decided=True)
    np.testing.assert_allclose(
        evaluation.mean_distortion.value, linear.nll(squared).mean(), rtol=1e-5
    )
    np.testing.assert_allclose(
        evaluation.mean_psnr.value, -10 * np.log10(squared.mean() / 2), rtol=1e-6
    )


def test_the_psnr_is_that_of_the_mean_squared_error(evaluation):
    expected = -10 * np.log10(linear.squared_errors(X, X, X).mean() / 2)
    assert_within(evaluation.psnr, expected)
    output = capture(HVAE, linear.NOTHING, linear.IMAGES, key=KEY)["output"].astype(np.float64)
    errors = ((output.reshape(-1, 2) - X) ** 2).mean(axis=1)
    np.testing.assert_allclose(evaluation.psnr.value, -10 * np.log10(errors.mean()), rtol=1e-6)
    low, high = (errors.mean() + sign * mean_estimate(errors).stderr for sign in (-1, 1))
    spread = 5 * (np.log10(high) - np.log10(low))
    np.testing.assert_allclose(evaluation.psnr.stderr, spread, rtol=1e-2)


def test_the_costs_of_images_have_the_means_and_errors_that_are_given(evaluation):
    examples = evaluation.examples
    for values, expected in (
        (examples.distortion, evaluation.distortion),
        (examples.rates, evaluation.rates),
    ):
        np.testing.assert_allclose(mean_estimate(values), expected, rtol=1e-5)
    psnr = -10 * np.log10(examples.squared_error.mean(dtype=np.float64))
    np.testing.assert_allclose(psnr, evaluation.psnr.value, rtol=1e-6)


def test_what_a_layer_may_know_is_the_sum_of_the_rates_from_the_top(evaluation):
    np.testing.assert_allclose(
        evaluation.information_bounds.value, np.cumsum(evaluation.rates.value), rtol=1e-12
    )
    # Rates of one image go together: their sum errs by less than the sum of the errors.
    assert evaluation.information_bounds.stderr[1] <= evaluation.rates.stderr.sum()


def test_bits_are_the_cost_of_a_number_in_an_image(evaluation):
    nats = evaluation.distortion.value + evaluation.rates.value.sum()
    np.testing.assert_allclose(evaluation.bits_per_dimension.value, nats / np.log(2) / 2)


@pytest.mark.slow
def test_the_standard_errors_are_the_spread_over_data_sets():
    chunks = linear.IMAGES.reshape(40, 50, 1, 2, 1)
    found = [
        evaluate(HVAE, linear.NOTHING, chunk, key=key)
        for chunk, key in zip(chunks, jax.random.split(KEY, 40), strict=True)
    ]
    for name in ("distortion", "rates", "information_bounds", "bits_per_dimension", "psnr"):
        values = np.array([getattr(one, name).value for one in found])
        errors = np.array([getattr(one, name).stderr for one in found])
        # A spread over 40 is known to 11%.
        ratio = values.std(axis=0, ddof=1) / errors.mean(axis=0)
        assert np.all((ratio > 0.6) & (ratio < 1.4)), name


@pytest.mark.parametrize("batch_size", [700, 2000])
def test_nothing_depends_on_the_batch_size(evaluation, batch_size):
    other = evaluate(HVAE, linear.NOTHING, linear.IMAGES, key=KEY, batch_size=batch_size)
    for one, expected in zip(jax.tree.leaves(other), jax.tree.leaves(evaluation), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-5)


def test_units_are_active_where_the_image_moves_them_from_their_prior():
    # (x B + z_2 (c - A)) / s_1 varies with the images, and with it the active units.
    class Follows(LinearGaussian):
        def posterior(self, index, features, state, prior, *, train):
            own = super().posterior(index, features, state, prior, train=train)
            if index == 0:
                return own
            # The first number of z_1 follows its prior, however much that moves.
            mean = jnp.stack([prior.mean[:, 0], own.mean[:, 1]], axis=1)
            return Gaussian(mean, own.log_variance)

    hvae = build_hvae(Follows(), image_shape=(1, 2, 1), shapes=HVAE.shapes)
    found = evaluate(hvae, linear.NOTHING, linear.IMAGES, key=KEY)
    means = capture(hvae, linear.NOTHING, linear.IMAGES, key=KEY)["z_1/mean"]
    assert means.var(axis=0).min() > 0.05
    np.testing.assert_array_equal(found.active_units, [1, 1])


def test_a_single_image_has_no_error_and_no_active_units():
    found = evaluate(HVAE, linear.NOTHING, linear.IMAGES[:1], key=KEY)
    assert np.isfinite(found.distortion.value)
    assert np.isnan(found.distortion.stderr)
    assert np.isnan(found.rates.stderr).all()
    np.testing.assert_array_equal(found.active_units, [0, 0])


def test_a_perfect_image_has_an_infinite_psnr():
    class Perfect(Chain):
        def output(self, state, *, train):
            return jnp.zeros((len(state), 1, 2, 1)), {}

    linear_output = linear.gaussian(standard_deviation=1.0)
    hvae = build_hvae(
        Perfect((2, 3), (1, 2, 1)),
        image_shape=(1, 2, 1),
        shapes=[(2,), (3,)],
        likelihood=linear_output,
    )
    black = np.zeros((4, 1, 2, 1), np.uint8)
    found = evaluate(hvae, jax.jit(hvae.init)(KEY), black, key=KEY)
    assert found.psnr.value == np.inf
    assert np.isnan(found.psnr.stderr)
    np.testing.assert_array_equal(found.active_units[0], 0)


def test_images_that_the_model_does_not_take_are_refused():
    with pytest.raises(ValueError, match=r"expected uint8 images \[n, 1, 2, 1\], got"):
        evaluate(HVAE, linear.NOTHING, X, key=KEY)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (3, 10)])
def test_a_share_has_the_deviation_of_its_beta_posterior(hits, n):
    grid = (np.arange(100_000) + 0.5) / 100_000
    weights = grid**hits * (1 - grid) ** (n - hits)
    mean = np.average(grid, weights=weights)
    expected = np.average((grid - mean) ** 2, weights=weights) ** 0.5
    found = share_estimate(hits, n)
    assert found.value == hits / n
    np.testing.assert_allclose(found.stderr, expected, rtol=1e-6)


@pytest.mark.parametrize(("hits", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_shares_of_nothing_are_refused(hits, n):
    with pytest.raises(ValueError, match=f"got hits={hits}, n={n}"):
        share_estimate(hits, n)
