import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvae.metrics.dimension import two_nn_mle
from jaxvae.metrics.gride import gride
from tests import oracles, reference
from tests.clouds import NASTY, N, clusters, gaussian, of_width, rotation

RTOL = 1e-5
# Which ratios are outlying hangs on steps of 1e-8 there, far below float32.
CLEAR = [name for name in NASTY if name not in {"constant", "hidden steps"}]
SCALES = [(1, 2), (2, 4), (4, 8), (8, 16), (16, 32), (32, 64)]


def definition(x, ranks=SCALES):
    """Rows of value, error, radius and ratios left out, by bisection in float64."""
    distances = np.sort(oracles.distances_to_others(np.unique(oracles.flat(x), axis=0)), axis=1)
    distances = np.sqrt(distances[:, :-1])
    known = [(m, far) for m, far in ranks if far <= distances.shape[1]]
    rows = [one_scale(distances[:, m - 1], distances[:, far - 1], m) for m, far in known]
    return np.array(rows + [[np.nan] * 3 + [0]] * (len(ranks) - len(known)))


def one_scale(near, far, m):
    mu = far / near
    median, high = np.quantile(mu, [0.5, 0.95])
    kept = mu[mu <= median + 20 * (high - median)]
    value = maximum(np.log(kept), m)
    error = 1 / np.sqrt(sum(information(value, np.log(ratio), m) for ratio in mu))
    return value, error, (near + far).mean() / 2, len(mu) - len(kept)


def maximum(logs, m):
    low, high = 1e-6, 1e6
    if len(logs) < 3 or score(high, logs, m) > 0:
        return np.nan
    for _ in range(100):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if score(middle, logs, m) > 0 else (low, middle)
    return low


def score(d, logs, m):
    """d/dd of (N - 1) log d + sum (m - 1) log(mu^d - 1) - ((2m - 1) d + 1) log mu."""
    positive = logs[logs > 0]
    at_limit = (len(logs) - len(positive)) / d
    slopes = np.sum(positive / -np.expm1(-d * positive)) + at_limit
    return (len(logs) - 1) / d + (m - 1) * slopes - (2 * m - 1) * np.sum(logs)


def information(d, log, m):
    if log == 0:
        return m / d**2
    return 1 / d**2 + (m - 1) * (log / (2 * np.sinh(min(d * log, 700) / 2))) ** 2


def assert_is(found, expected, rtol=RTOL):
    np.testing.assert_allclose(found.values, expected[:, 0], rtol=rtol)
    np.testing.assert_allclose(found.stderrs, expected[:, 1], rtol=rtol)
    np.testing.assert_allclose(found.radii, expected[:, 2], rtol=rtol)
    np.testing.assert_array_equal(found.left_out, expected[:, 3])


@pytest.mark.parametrize("name", CLEAR)
def test_the_curve_is_that_of_the_definition_in_nasty_clouds(name):
    cloud = NASTY[name]
    found = gride(cloud)
    assert_is(found, definition(cloud))
    np.testing.assert_array_equal(found.ranks, SCALES)
    assert found.points == len(np.unique(oracles.flat(cloud), axis=0))


@pytest.mark.parametrize("d", [1, 3, 784])
def test_the_curve_is_that_of_the_definition_for_every_width(d):
    assert_is(gride(of_width(d)), definition(of_width(d)))


def test_tight_clusters_far_apart_keep_their_dimension():
    cloud = clusters(100, d=3)
    assert_is(gride(cloud), definition(cloud))


def test_no_other_dimension_is_likelier():
    cloud = gaussian()
    distances = np.sqrt(np.sort(oracles.distances_to_others(cloud), axis=1))
    for (m, far), value in zip(SCALES, gride(cloud).values, strict=True):
        mu = distances[:, far - 1] / distances[:, m - 1]
        # The density of the paper, but for its constant; N - 1 in front of the first term.
        below, at, above = (
            (N - 1) * np.log(d)
            + np.sum((m - 1) * np.log(mu**d - 1) - ((2 * m - 1) * d + 1) * np.log(mu))
            for d in float(value) * np.array([0.999, 1, 1.001])
        )
        assert at > max(below, above)


def test_the_smallest_scale_is_two_nn():
    cloud = gaussian()
    np.testing.assert_allclose(gride(cloud).values[0], two_nn_mle(cloud).value, rtol=1e-6)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_uniform_cube_has_its_dimension_at_small_scales(d):
    cloud = np.random.default_rng(0).random((1500, d)).astype(np.float32)
    found = gride(cloud, max_rank=4)
    # The boundary takes off 7% in five dimensions, the outlying ratios add 1.7% in one.
    assert (abs(found.values - d) < 3 * 1.2 * found.stderrs + 0.02 * d + 0.002 * d**3).all()


def test_noise_shows_at_small_scales_only():
    angle = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    found = gride(circle + 0.01 * gaussian(2000, 2), max_rank=256)
    assert found.values[0] > 1.8
    assert found.values[-1] < 1.1


def test_radii_are_in_units_of_the_input():
    cloud = gaussian().astype(np.float64)
    small, large = gride(1e-22 * cloud), gride(1e20 * cloud)
    np.testing.assert_allclose(small.radii / np.float32(1e-22), definition(cloud)[:, 2], rtol=RTOL)
    np.testing.assert_allclose(large.radii / np.float32(1e20), definition(cloud)[:, 2], rtol=RTOL)


def test_radii_above_the_largest_float32_are_nan():
    found = gride(1e40 * gaussian().astype(np.float64))
    assert jnp.isnan(found.radii).all()
    np.testing.assert_allclose(found.values, gride(gaussian()).values, rtol=RTOL)


def test_outlying_ratios_are_left_out_and_counted():
    cloud = gaussian(N, 3)
    cloud[1] = cloud[0] + 1e-6
    found = gride(cloud)
    assert found.left_out[0] == 2
    assert_is(found, definition(cloud))


@pytest.mark.parametrize(("n", "max_rank", "scales"), [(3, 64, 1), (5, 64, 2), (40, 64, 5)])
def test_small_clouds_have_fewer_scales(n, max_rank, scales):
    cloud = gaussian(n, 2)
    found = gride(cloud, max_rank=max_rank)
    np.testing.assert_array_equal(found.ranks, SCALES[:scales])
    assert_is(found, definition(cloud, SCALES[:scales]))


@pytest.mark.parametrize(("max_rank", "scales"), [(2, 1), (3, 1), (4, 2), (63, 5)])
def test_no_rank_is_above_the_largest(max_rank, scales):
    np.testing.assert_array_equal(gride(gaussian(), max_rank=max_rank).ranks, SCALES[:scales])


def test_a_constant_cloud_has_no_dimension_at_any_scale():
    found = gride(NASTY["constant"])
    assert jnp.isnan(jnp.stack(found[:3])).all()
    assert found.points == 1


def test_a_simplex_has_no_dimension_but_a_radius():
    found = gride(np.eye(N, dtype=np.float32))
    assert jnp.isnan(found.values).all()
    assert jnp.isnan(found.stderrs).all()
    np.testing.assert_allclose(found.radii, np.sqrt(2), rtol=1e-6)


def test_a_line_of_steps_has_no_dimension_at_the_smallest_scale_only():
    line = np.arange(N, dtype=np.float32)[:, None]
    found = gride(line)
    assert jnp.isnan(found.values[0])
    assert_is(found, definition(line))


@pytest.mark.slow
@pytest.mark.parametrize(("d", "at_rank_64"), [(5, 1.2), (1, 2.0)])
def test_the_standard_error_is_too_small_by_the_factors_that_are_documented(d, at_rank_64):
    found = [gride(gaussian(300, d, seed)) for seed in range(150)]
    spread = np.std([curve.values for curve in found], axis=0)
    claimed = np.mean([curve.stderrs for curve in found], axis=0)
    # 150 clouds give a spread to 6%.
    np.testing.assert_allclose((spread / claimed)[[0, -1]], [1.25, at_rank_64], rtol=0.18)


properties = settings(max_examples=8, deadline=None, derandomize=True)


@properties
@given(st.integers(0, 1000), st.floats(-25, 25), st.floats(-1e3, 1e3))
def test_scale_shift_and_rotation_change_nothing_but_the_radii(seed, exponent, shift):
    cloud = gaussian(seed=seed).astype(np.float64)
    moved, expected = gride(10**exponent * (cloud @ rotation(seed=seed + 1) + shift)), gride(cloud)
    np.testing.assert_allclose(moved.values, expected.values, rtol=RTOL)
    np.testing.assert_allclose(moved.stderrs, expected.stderrs, rtol=RTOL)
    np.testing.assert_allclose(moved.radii / 10**exponent, expected.radii, rtol=RTOL)


def test_fewer_than_three_points_are_refused():
    with pytest.raises(ValueError, match="expected at least 3 points, got 2"):
        gride(gaussian(2))


@pytest.mark.parametrize("max_rank", [1, 0, -4])
def test_ranks_without_a_pair_are_refused(max_rank):
    with pytest.raises(ValueError, match=f"expected max_rank >= 2, got {max_rank}"):
        gride(gaussian(), max_rank=max_rank)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN or infinity in row 2"):
        gride(np.array([[1.0], [2.0], [np.nan], [3.0]]))


@pytest.mark.parametrize("case", reference.cases("gride"))
def test_the_curve_is_that_of_the_reference(case):
    inputs, expected = reference.load(case)
    found = gride(inputs["x"])
    reference.assert_close(case, "gride_ids", found.values, expected["gride_ids"])
    reference.assert_close(case, "gride_errors", found.stderrs, expected["gride_errors"])
    reference.assert_close(case, "gride_scales", found.radii, expected["gride_scales"])
    reference.assert_close(case, "gride_ranks", found.ranks, expected["gride_ranks"])
    reference.assert_close(case, "gride_left_out", found.left_out, expected["gride_left_out"])
