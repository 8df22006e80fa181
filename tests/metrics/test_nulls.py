"""Nulls against closed forms, and data that are their own null."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import t

from jaxvae.metrics import information_imbalance
from jaxvae.metrics.nulls import gaussian_null, unrelated_null
from tests.clouds import gaussian
from tests.metrics.statistics import dimension, linear_cka, mean

KEY = jax.random.key(3)


@pytest.mark.slow
def test_unrelated_spaces_have_an_imbalance_of_one():
    x = gaussian(300, 3)
    null = unrelated_null(KEY, information_imbalance, x, x, draws=8)
    # One draw spreads by 0.58 / sqrt(n); three times that for the mean of 8.
    assert null.mean.forward == pytest.approx(1, abs=3 * 0.58 / np.sqrt(300 * 8))
    assert 0.4 < null.spread.forward / (0.58 / np.sqrt(300)) < 1.9


def test_unrelated_spaces_have_the_floor_of_linear_cka():
    x = gaussian(200, 50)
    null = unrelated_null(KEY, linear_cka, x, x)
    assert null.values.shape == (20,)
    assert null.mean == pytest.approx(50 / (50 + 200 - 1), rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("draws", [5, 20])
def test_unrelated_data_fall_beyond_two_spreads_of_few_draws_as_often_as_is_documented(draws):
    def product(a, b):
        return np.float32(np.mean(a * b))

    pairs, beyond = np.random.default_rng(0).standard_normal((600, 2, 100, 1)), 0
    for seed, pair in enumerate(pairs):
        found = unrelated_null(jax.random.key(seed), product, *pair, draws=draws)
        beyond += abs(product(*pair) - found.mean) > 2 * found.spread
    expected = 2 * t.sf(2 / (1 + 1 / draws) ** 0.5, draws - 1)
    assert round(100 * expected) == {5: 14, 20: 7}[draws]
    assert beyond / 600 == pytest.approx(expected, abs=3 * (expected / 600) ** 0.5)


def test_every_space_but_the_first_is_permuted_by_itself():
    rows = np.arange(40)[:, None]
    first, second, third = unrelated_null(
        KEY, lambda *spaces: tuple(s[:, 0] for s in spaces), rows, rows, rows, draws=2
    ).values
    np.testing.assert_array_equal(first, np.tile(np.arange(40), (2, 1)))
    for shuffled in (second, third):
        np.testing.assert_array_equal(np.sort(shuffled, axis=1), first)
    assert not np.array_equal(second, third)
    assert not np.array_equal(second[0], second[1])


def test_a_gaussian_null_has_the_mean_and_covariance_of_the_data():
    data = (gaussian(2000, 3) @ gaussian(3, 4) + np.arange(4)).astype(np.float64)
    null = gaussian_null(KEY, lambda x: (x.mean(axis=0), jnp.cov(x.T)), data, draws=8)
    covariance = np.cov(data.T)
    scale = np.sqrt(np.diag(covariance))
    # 8 draws of 2,000 points: entries to 1 / sqrt(16,000), or 0.8% of their scales.
    assert np.all(np.abs(null.mean[0] - data.mean(axis=0)) < 0.04 * scale)
    assert np.all(np.abs(null.mean[1] - covariance) < 0.06 * np.outer(scale, scale))


@pytest.mark.slow
def test_a_gaussian_is_its_own_null_and_a_curve_is_not():
    cloud, turn = gaussian(500, 4), np.random.default_rng(0).uniform(0, 4, 500)
    curve = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    null = gaussian_null(KEY, dimension, cloud, draws=8)
    assert abs(dimension(cloud) - null.mean) < 4 * null.spread
    assert dimension(curve) < 1.3
    assert gaussian_null(KEY, dimension, curve, draws=4).mean > 1.8


def test_a_gaussian_null_of_data_far_from_zero_keeps_their_spread():
    data = 1e3 + 1e-3 * gaussian(300, 2).astype(np.float64)
    null = gaussian_null(KEY, lambda x: x.shape[1] * jnp.ones(()), data, draws=2)
    assert null.mean == 2
    found = gaussian_null(KEY, lambda x: jnp.std(x, axis=0), data - 1e3, draws=4).mean
    np.testing.assert_allclose(found, 1e-3, rtol=0.2)


@pytest.mark.parametrize("exponent", [-200, 200])
def test_a_gaussian_null_of_any_scale_is_the_same(exponent):
    data = gaussian(100, 3).astype(np.float64) + 1
    expected = gaussian_null(KEY, dimension, data, draws=2)
    found = gaussian_null(KEY, dimension, np.ldexp(data, exponent), draws=2)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5)


@pytest.mark.parametrize("null", [unrelated_null, gaussian_null])
def test_the_same_key_gives_the_same_numbers_and_another_others(null):
    x, y = gaussian(100, 2), gaussian(100, 3, 1)
    first, second = (null(KEY, linear_cka, x, y).values for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, null(jax.random.key(4), linear_cka, x, y).values)


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize("null", [unrelated_null, gaussian_null])
def test_arrays_of_different_length_are_refused(null):
    with pytest.raises(ValueError, match=r"expected the same number of points .*\[30, 29\]"):
        null(KEY, linear_cka, gaussian(30, 2), gaussian(29, 2))


def test_a_gaussian_needs_an_array_and_two_points():
    with pytest.raises(ValueError, match="expected at least one array and two points"):
        gaussian_null(KEY, mean)
    with pytest.raises(ValueError, match="expected at least one array and two points"):
        gaussian_null(KEY, mean, gaussian(1, 2))


def test_one_array_has_nothing_to_be_unrelated_to():
    with pytest.raises(ValueError, match="expected at least two arrays"):
        unrelated_null(KEY, mean, gaussian(30, 2))


@pytest.mark.parametrize("null", [unrelated_null, gaussian_null])
def test_fewer_than_two_draws_are_refused(null):
    x = gaussian(30, 2)
    with pytest.raises(ValueError, match="expected at least 2 draws, got 1"):
        null(KEY, linear_cka, x, x, draws=1)
