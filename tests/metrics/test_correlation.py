import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvae.metrics.correlation import cca, svcca, svcca_matrix
from tests import oracles, reference
from tests.clouds import NASTY, gaussian, rotation
from tests.memory import largest_array

OTHER = gaussian(seed=9)[:, :7] + NASTY["plain"][:, :7]
# Of these, directions of interest are within float32 rounding of the largest one.
BLURRED = ["one row at 1e6", "clusters 100 apart", "ten clusters", "hidden steps"]
BLURRED += ["three clusters, float64"]
CLEAR = [name for name in NASTY if name not in (*BLURRED, "constant", "clusters 10 apart")]


def exact_cca(x, y):
    x, y = oracles.centered(x), oracles.centered(y)
    return np.linalg.svd(basis(x).T @ basis(y), compute_uv=False)


def exact_svcca(x, y, variance):
    first, second = (main_components(oracles.centered(each), variance) for each in (x, y))
    values = np.linalg.svd(first.T @ second, compute_uv=False)
    return values.mean(), (first.shape[1], second.shape[1])


def basis(x):
    scale = np.linalg.norm(x, axis=0)
    left, lengths, _ = np.linalg.svd(x[:, scale > 0] / scale[scale > 0], full_matrices=False)
    return left[:, lengths > 1e-9 * lengths[0]]


def main_components(x, variance):
    left, lengths, _ = np.linalg.svd(x, full_matrices=False)
    share = np.cumsum(lengths**2) / np.sum(lengths**2)
    return left[:, : np.argmax(share >= variance) + 1]


@pytest.mark.parametrize("name", CLEAR)
def test_canonical_correlations_are_those_of_the_definition(name):
    found, expected = cca(NASTY[name], OTHER), exact_cca(NASTY[name], OTHER)
    np.testing.assert_allclose(found.values[: len(expected)], expected, atol=1e-5)
    assert not found.values[len(expected) :].any()
    np.testing.assert_allclose(found.mean, expected.mean(), atol=1e-5)
    np.testing.assert_allclose(found.mean_square, np.mean(expected**2), atol=1e-5)


@pytest.mark.parametrize("variance", [1e-9, 0.5, 0.9, 0.99])
def test_svcca_keeps_the_fewest_components_that_reach_the_variance(variance):
    x = gaussian() * 0.7 ** np.arange(20)
    expected, kept = exact_svcca(x, OTHER, variance)
    found = svcca(x, OTHER, variance=variance)
    np.testing.assert_array_equal(found.kept, kept)
    np.testing.assert_allclose(found.mean, expected, atol=1e-5)


@pytest.mark.parametrize("case", reference.cases("similarity"))
def test_correlations_agree_with_the_reference(case):
    inputs, expected = reference.load(case)
    linear, main = (metric(inputs["x"], inputs["y"]) for metric in (cca, svcca))
    found = {
        "cca_mean": linear.mean,
        "cca_r2": linear.mean_square,
        "svcca": main.mean,
        "svcca_kept": main.kept,
    }
    for key in found.keys() & expected.keys():
        reference.assert_close(case, key, found[key], expected[key])


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.floats(-60, 60))
def test_cca_is_unchanged_by_invertible_maps_shift_padding_and_order(seed, exponent):
    generator = np.random.default_rng(seed)
    x, y = gaussian(80, 6, seed), gaussian(80, 6, seed) + gaussian(80, 6, seed + 1)
    order = generator.permutation(80)
    stretch = generator.standard_normal((6, 6)) + 3 * np.diag([1, 2, 4, 8, 16, 32])
    moved = 2.0**exponent * (x @ stretch + 5)
    padded = np.concatenate([moved, np.zeros((80, 3))], axis=1)
    expected, found = cca(x, y), cca(padded[order], y[order])
    np.testing.assert_allclose(found.values[:6], expected.values, atol=1e-4)
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-5)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(st.integers(0, 1000))
def test_svcca_is_unchanged_by_rotation_scale_and_shift(seed):
    x, y = gaussian(80, 6, seed), gaussian(80, 6, seed) + gaussian(80, 6, seed + 1)
    moved = 1e-5 * x @ rotation(6, seed) + 7
    np.testing.assert_allclose(svcca(moved, y).mean, svcca(x, y).mean, atol=1e-5)


def test_linear_maps_of_one_space_correlate_wholly():
    x = gaussian(100, 5)
    found = cca(x, x @ gaussian(5, 5, seed=2))
    np.testing.assert_allclose(found.values, 1, atol=1e-6)


def test_the_matrix_is_the_mean_of_the_pairs():
    spaces = [gaussian(80, 6), gaussian(80, 90, 1), np.ones((80, 6))]
    found = svcca_matrix(spaces, variance=0.9)
    pairs = [[svcca(a, b, variance=0.9).mean for b in spaces] for a in spaces]
    np.testing.assert_allclose(found, pairs, rtol=1e-5)
    np.testing.assert_array_equal(found, found.T)
    assert np.isnan(found[2]).all()
    with pytest.raises(ValueError, match="at least one space"):
        svcca_matrix([])


def test_with_all_the_variance_svcca_is_cca():
    x, y = gaussian(100, 5), OTHER[:100]
    np.testing.assert_allclose(svcca(x, y, variance=1).values, cca(x, y).values, atol=1e-6)


def test_unrelated_spaces_have_the_documented_mean_square():
    found = np.mean([cca(gaussian(200, 5, s), gaussian(200, 30, 50 + s))[2] for s in range(20)])
    np.testing.assert_allclose(found, 30 / 199, rtol=0.1)


def test_a_column_of_little_spread_counts_and_a_collapsed_one_does_not():
    x = gaussian(100, 4).astype(np.float64)
    x[:, 1] = 3 + 1e-6 * x[:, 1]
    x[:, 2] = 0.1
    found, expected = cca(x, OTHER[:100]), exact_cca(x, OTHER[:100])
    np.testing.assert_array_equal(found.kept, [3, 7])
    np.testing.assert_allclose(found.values, [*expected[:3], 0], atol=1e-5)


@pytest.mark.parametrize("name", BLURRED)
def test_directions_within_rounding_are_left_out_and_said_to_be(name):
    assert cca(NASTY[name], OTHER).kept[0] < 3


def test_dependent_columns_count_once():
    x = gaussian(100, 4)
    repeated = np.concatenate([x, x, x[:, :2] + x[:, 2:]], axis=1)
    found = cca(repeated, OTHER[:100])
    np.testing.assert_array_equal(found.kept, [4, 7])
    np.testing.assert_allclose(found.mean, cca(x, OTHER[:100]).mean, atol=1e-5)


def test_more_features_than_points_correlate_wholly():
    found = cca(gaussian(20, 50), gaussian(20, 3, seed=1))
    np.testing.assert_array_equal(found.kept, [19, 3])
    np.testing.assert_allclose(found.mean, 1, atol=1e-6)


@pytest.mark.parametrize("metric", [cca, svcca])
def test_a_constant_space_keeps_nothing_and_gives_nan(metric):
    found = metric(NASTY["constant"], OTHER)
    np.testing.assert_array_equal(found.kept[0], 0)
    assert np.isnan(found.mean)
    assert np.isnan(found.mean_square)
    assert not found.values.any()


@pytest.mark.parametrize("metric", [cca, svcca])
def test_correlations_are_vmapped_and_jitted_as_looped(metric):
    xs = np.stack([NASTY[name] for name in ("plain", "grid", "constant columns")])
    found = jax.jit(jax.vmap(metric, in_axes=(0, None)))(xs, OTHER)
    looped = [metric(x, OTHER) for x in xs]
    for field, values in zip(found, zip(*looped, strict=True), strict=True):
        np.testing.assert_allclose(field, np.stack(values), atol=2e-6)


def test_nothing_larger_than_the_input_is_formed():
    assert largest_array(cca, *[((5000, 40), jnp.float32)] * 2) <= 5000 * 40


@pytest.mark.parametrize("metric", [cca, svcca])
def test_no_type_is_promoted_without_being_asked(metric):
    x, y = gaussian(50, 4), gaussian(50, 3, seed=1)
    expected = metric(x, y)
    with jax.numpy_dtype_promotion("strict"):
        np.testing.assert_array_equal(metric(x, y).values, expected.values)


@pytest.mark.parametrize("kind", [np.float32, jnp.float32])
def test_a_variance_may_be_of_any_real_type(kind):
    x, y = gaussian(50, 4), gaussian(50, 3, seed=1)
    expected = svcca(x, y, variance=0.5)
    np.testing.assert_array_equal(svcca(x, y, variance=kind(0.5)).values, expected.values)


@pytest.mark.parametrize("variance", [0, -0.5, 1.01, np.nan])
def test_a_variance_outside_0_to_1_is_refused(variance):
    with pytest.raises(ValueError, match="variance <= 1"):
        svcca(gaussian(10), gaussian(10), variance=variance)


@pytest.mark.parametrize("metric", [cca, svcca])
def test_bad_input_is_refused(metric):
    x = gaussian(10)
    with pytest.raises(ValueError, match="same number of points"):
        metric(x, gaussian(11))
    with pytest.raises(ValueError, match="at least 2 points"):
        metric(x[:1], x[:1])
    with pytest.raises(ValueError, match="real numbers"):
        metric(x, x.astype(complex))
    with pytest.raises(ValueError, match="row 3"):
        metric(x, np.where(np.arange(10)[:, None] == 3, np.nan, x))
