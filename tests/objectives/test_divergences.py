"""The Gaussian KL divergence against its definition, its minimum and reference values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxvae.models import Gaussian
from jaxvae.models.stochastic_layers import merge_precisions
from jaxvae.objectives import gaussian_kl
from jaxvae.objectives.divergences import gaussian_kl_between
from tests.objectives.losses import assert_reference, reference_cases
from tests.reference import load


def definition(mean, log_variance):
    mean, log_variance = np.asarray(mean, np.float64), np.asarray(log_variance, np.float64)
    return (mean**2 + np.exp(log_variance) - log_variance - 1) / 2


def draw(shape):
    mean_key, variance_key = jax.random.split(jax.random.key(0))
    return 2 * jax.random.normal(mean_key, shape), 3 * jax.random.normal(variance_key, shape)


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("case", reference_cases("kl-"))
def test_values_are_those_of_the_reference(case, double):
    inputs, expected = load(case)
    with jax.enable_x64(double):
        dtype = jnp.float64 if double else jnp.float32
        kl = gaussian_kl(*(jnp.asarray(inputs[name], dtype) for name in ("mean", "log_var")))
        rows, dimensions = kl.sum(axis=1), kl.mean(axis=0)
        actual = {"kl": rows.mean(), "kl_rows": rows, "kl_dims": dimensions}
    assert_reference(case, actual, expected, double=double)


def test_every_entry_is_the_definition_in_float64():
    mean, log_variance = draw((50, 7))
    # Each entry is three float32 terms that do not cancel here by more than a digit.
    expected = definition(mean, log_variance)
    np.testing.assert_allclose(gaussian_kl(mean, log_variance), expected, rtol=1e-5, atol=1e-6)


def test_it_is_the_mean_log_ratio_of_the_densities():
    # Gauss-Hermite quadrature of E_q[log q - log p], exact for this quadratic.
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    mean, log_variance = 1.3, -0.7
    x = mean + np.exp(log_variance / 2) * nodes
    log_ratio = -(log_variance + nodes**2 - x**2) / 2
    expected = np.sum(weights * log_ratio) / np.sum(weights)
    actual = gaussian_kl(jnp.array([[mean]]), jnp.array([[log_variance]]))
    np.testing.assert_allclose(actual, [[expected]], rtol=1e-6)


def test_it_is_exactly_zero_at_the_prior():
    np.testing.assert_array_equal(gaussian_kl(jnp.zeros((2, 3)), jnp.zeros((2, 3))), 0)


@given(
    mean=st.floats(-1e3, 1e3, width=32),
    log_variance=st.floats(-80, 80, width=32),
)
def test_it_is_never_negative(mean, log_variance):
    assert gaussian_kl(jnp.array([[mean]]), jnp.array([[log_variance]])).item() >= 0


@pytest.mark.parametrize("log_variance", [1e-3, -1e-3, 0.01])
def test_it_does_not_cancel_near_the_prior(log_variance):
    # (v - 1 - log v) / 2 is about log_variance^2 / 4: 2.5e-7 here, eps is 1.2e-7. What is left
    # is the rounding of expm1, eps * log_variance, against that.
    actual = gaussian_kl(jnp.zeros((1, 1)), jnp.array([[log_variance]])).item()
    kept = float(np.float32(log_variance))
    assert actual == pytest.approx((np.expm1(kept) - kept) / 2, rel=5e-4)


@pytest.mark.parametrize("most", [1e-4, 1e-2, 1.0])
def test_near_the_prior_it_is_off_by_few_parts_of_the_log_variance(most):
    log_variance = np.linspace(-most, most, 1000, dtype=np.float32)
    exact = definition(np.zeros(1000), log_variance)
    error = np.abs(gaussian_kl(np.zeros(1000, np.float32), log_variance) - exact)
    assert np.all(error <= 3e-7 * np.abs(log_variance))


def test_gradients_are_the_mean_and_half_the_excess_variance():
    mean, log_variance = draw((20, 4))
    by_mean, by_log_variance = jax.grad(
        lambda *arguments: gaussian_kl(*arguments).sum(), argnums=(0, 1)
    )(mean, log_variance)
    np.testing.assert_allclose(by_mean, mean, rtol=1e-6)
    excess = np.expm1(np.asarray(log_variance, np.float64)) / 2
    np.testing.assert_allclose(by_log_variance, excess, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("log_variance", [-100.0, -178.0, -400.0])
def test_between_equal_gaussians_it_is_zero_however_narrow(log_variance):
    both = jnp.array([0.3, log_variance, 0.3, log_variance], jnp.float32)
    value, slopes = jax.value_and_grad(lambda each: gaussian_kl_between(*each))(both)
    assert value == 0
    np.testing.assert_array_equal(slopes, 0)


def test_a_ladder_whose_prior_is_all_that_is_known_has_no_rate():
    prior = Gaussian(jnp.float32(0.5), jnp.float32(-180))
    posterior = merge_precisions(Gaussian(jnp.float32(1), jnp.float32(0)), prior)
    assert gaussian_kl_between(*posterior, *prior) == 0


@pytest.mark.parametrize("prior_log_variance", [-160.0, -20.0, 0.0, 20.0])
def test_between_two_gaussians_it_is_the_definition_in_float64(prior_log_variance):
    mean, log_variance = draw((20, 4))
    log_variance = log_variance + prior_log_variance
    mean = mean * np.exp(prior_log_variance / 2)
    shift = np.asarray(mean, np.float64) * np.exp(-prior_log_variance / 2)
    expected = definition(shift, np.asarray(log_variance, np.float64) - prior_log_variance)
    actual = gaussian_kl_between(mean, log_variance, 0.0, jnp.float32(prior_log_variance))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
