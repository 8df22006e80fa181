import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.geometry.kernels import (
    NO_SPREAD,
    centered_features,
    gram_products,
    median,
    rbf_gram,
)
from tests import oracles
from tests.clouds import NASTY, N, gaussian, outlier
from tests.memory import largest_array
from tests.tiers import parametrize


def exact_products(spaces, unbiased):
    """Inner products of the Gram matrices themselves, in float64."""
    flat = np.stack([gram.ravel() for gram in exact_grams(spaces, unbiased)])
    return flat @ flat.T


def exact_grams(spaces, unbiased):
    grams = [space @ space.T for space in map(oracles.centered, spaces)]
    return [u_centered(gram) for gram in grams] if unbiased else grams


def u_centered(gram):
    n = len(gram)
    off = gram - np.diag(np.diag(gram))
    rows = off.sum(axis=0) / (n - 2)
    off = off - rows - rows[:, None] + off.sum() / ((n - 1) * (n - 2))
    return off - np.diag(np.diag(off))


def values_of(*spaces):
    return tuple(features.values for features in centered_features(spaces))


@pytest.mark.parametrize("name", NASTY)
def test_features_are_centered_and_of_unit_scale(name):
    (features,) = centered_features([NASTY[name]])
    exact = oracles.centered(NASTY[name])
    means = np.asarray(features.values, np.float64).mean(axis=0)
    np.testing.assert_allclose(means, 0, atol=1e-8)
    if name == "constant":
        assert not features.values.any()
        assert features.exponent == NO_SPREAD
        return
    assert 0.5 <= np.linalg.norm(np.asarray(features.values, np.float64)) < 1 + 1e-6
    unit = np.linalg.norm(exact)
    restored = np.asarray(features.values, np.float64) * 2.0 ** int(features.exponent)
    np.testing.assert_allclose(restored / unit, exact / unit, atol=1e-6)


def test_constant_columns_are_exactly_zero():
    assert not values_of(NASTY["constant columns"])[0][:, 3:].any()


@pytest.mark.parametrize("unbiased", [False, True])
@parametrize("n", [4, 513, 37], quick=2)
@pytest.mark.parametrize("widths", [(3, 1), (3, 600)], ids=["features", "samples"])
def test_products_are_those_of_the_gram_matrices(n, widths, unbiased):
    spaces = values_of(*(gaussian(n, d, seed=d) for d in widths))
    expected = exact_products(spaces, unbiased)
    found = gram_products(spaces, unbiased=unbiased)
    scale = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(found / scale / scale[:, None], expected / scale / scale[:, None],
                               atol=2e-6)  # fmt: skip


@pytest.mark.parametrize("n", [512, 1024, pytest.param(1500, marks=pytest.mark.slow)])
def test_every_pair_of_points_counts_once_whatever_the_tiles(n):
    spaces = values_of(gaussian(n, n))
    expected = exact_products(spaces, unbiased=True)
    np.testing.assert_allclose(gram_products(spaces, unbiased=True), expected, rtol=1e-5)


def test_rows_far_out_do_not_cancel():
    # Removing the diagonal in feature space would leave nothing but rounding.
    spaces = values_of(outlier(), gaussian(seed=3))
    expected = exact_products([outlier(), gaussian(seed=3)], unbiased=True)
    cosine = expected[0, 1] / np.sqrt(expected[0, 0] * expected[1, 1])
    for products in (gram_products, jax.jit(gram_products, static_argnames="unbiased")):
        found = products(spaces, unbiased=True)
        np.testing.assert_allclose(
            found[0, 1] / jnp.sqrt(found[0, 0] * found[1, 1]), cosine, rtol=1e-2, atol=1e-4
        )


def test_many_points_are_centered_as_exactly_as_few():
    # Two long stretches of one value: sums of float32 in this order lose three digits.
    values = np.repeat(np.float32([0.3, 0]), [100_000, 10_000])[:, None]
    (centered,) = values_of(values)
    mean = np.mean(np.asarray(centered, np.float64))
    assert abs(mean) < 1e-7 * np.std(centered)


@pytest.mark.parametrize("n", [4, 30])
def test_points_equally_far_apart_have_products_of_exactly_zero(n):
    found = gram_products(values_of(np.eye(n), gaussian(n, 2)), unbiased=True)
    np.testing.assert_array_equal(found[0], 0)
    np.testing.assert_array_equal(found[:, 0], 0)
    assert found[1, 1] > 0


@pytest.mark.parametrize("unbiased", [False, True])
def test_no_matrix_of_all_points_is_formed(unbiased):
    n, narrow, wide = 20_000, 30, 15_000
    assert largest_array(
        lambda *spaces: gram_products(spaces, unbiased=unbiased),
        *[((n, narrow), jnp.float32)] * 3,
    ) <= max(3 * n * narrow, 3 * 512**2)
    assert (
        largest_array(
            lambda *spaces: gram_products(spaces, unbiased=unbiased),
            *[((n, wide), jnp.float32)] * 2,
        )
        <= n * wide
    )


@pytest.mark.parametrize("size", [1, 2, 5, 6, 1001, 1002])
@pytest.mark.parametrize("levels", [2, 5, 10**6])
def test_the_median_is_that_of_numpy(size, levels):
    values = np.random.default_rng(size).integers(0, levels, size).astype(np.float32) / 7
    assert median(jnp.asarray(values)) == pytest.approx(float(np.median(values)), rel=1e-7)


def test_the_median_of_zeros_and_of_large_numbers():
    assert median(jnp.zeros((3, 3))) == 0
    np.testing.assert_array_equal(median(jnp.asarray([3e38, 1e-38, 2e38])), np.float32(2e38))


def test_the_median_is_vmapped_as_looped():
    values = jnp.abs(jnp.asarray(gaussian(5, 12)))
    np.testing.assert_array_equal(jax.vmap(median)(values), [median(v) for v in values])


@pytest.mark.parametrize("bandwidth", [0.2, 1.0, 50.0])
@pytest.mark.parametrize("n", [40, 41])
def test_the_gaussian_kernel_follows_its_definition(n, bandwidth):
    x = gaussian(n, 3).astype(np.float64)
    squared = np.sum((x[:, None] - x) ** 2, axis=2)
    kernel = np.exp(-squared / (2 * bandwidth**2 * np.median(squared)))
    center = np.eye(n) - 1 / n
    expected = center @ kernel @ center / (1 - kernel.min())
    found = rbf_gram(x, bandwidth=bandwidth)
    np.testing.assert_allclose(found, expected, atol=2e-6 * np.abs(expected).max())


def test_spaces_are_checked():
    with pytest.raises(ValueError, match="at least one space"):
        centered_features([])
    with pytest.raises(ValueError, match="same number of points"):
        centered_features([gaussian(5), gaussian(6)])
    with pytest.raises(ValueError, match="at least 4 points, got 3"):
        centered_features([gaussian(3)], least=4)
    with pytest.raises(ValueError, match="row 7"):
        centered_features([np.where(np.arange(N)[:, None] == 7, np.nan, gaussian())])
