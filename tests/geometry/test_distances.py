import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.geometry import squared_distances
from jaxvae.geometry.distances import difference_bounds, distance_bounds, upper_bounds
from jaxvae.geometry.points import as_points
from jaxvae.geometry.selection import filled_length
from tests import oracles
from tests.clouds import NASTY, TIED, WIDTHS, N, gaussian, of_width
from tests.memory import largest_array

FLOAT32 = 2.0**-24
by_products, by_differences = jax.jit(distance_bounds), jax.jit(difference_bounds)
upper_in_program = jax.jit(upper_bounds)
# Squares of 1e20 are above the largest float32; the refusal has its own test.
SQUARABLE = [name for name in NASTY if name != "scale 1e20"]


@pytest.mark.parametrize("name", SQUARABLE)
def test_squared_distances_are_those_of_the_definition(name):
    cloud = NASTY[name]
    # Above 2**-5 of the squared norms the product form is kept, which loses 5 of 24
    # bits. Squares below the
    # smallest float32 are zero by contract.
    np.testing.assert_allclose(
        squared_distances(cloud, cloud), oracles.squared_distances(cloud), rtol=1e-5, atol=1e-37
    )


@pytest.mark.parametrize("d", WIDTHS)
def test_squared_distances_hold_for_every_width(d):
    x, y = of_width(d), 10 + gaussian(50, d, seed=1)
    expected = oracles.squared_distances(x, y)
    np.testing.assert_allclose(squared_distances(x, y), expected, rtol=1e-5)


def test_the_usual_relative_error_is_about_one_in_a_million():
    cloud = gaussian()
    expected = oracles.squared_distances(cloud)
    off_diagonal = ~np.eye(N, dtype=bool)
    error = np.abs(squared_distances(cloud, cloud) - expected)[off_diagonal]
    assert np.max(error / expected[off_diagonal]) < 2e-6


@pytest.mark.parametrize("name", SQUARABLE)
def test_a_row_is_at_distance_exactly_zero_from_itself(name):
    cloud = NASTY[name]
    np.testing.assert_array_equal(np.diagonal(squared_distances(cloud, cloud)), 0)


def test_repeated_rows_are_at_distance_exactly_zero():
    x = gaussian(d=50)
    np.testing.assert_array_equal(np.diagonal(squared_distances(x[:50], x[np.arange(50)])), 0)


@pytest.mark.parametrize("name", TIED)
def test_distances_on_a_grid_are_exact(name):
    cloud = TIED[name]
    expected = oracles.squared_distances(cloud)
    np.testing.assert_array_equal(squared_distances(cloud, cloud), expected.astype(np.float32))


def test_trailing_axes_are_flattened():
    images, others = gaussian(6, 60), gaussian(5, 60, seed=1)
    flat = squared_distances(images, others)
    folded = squared_distances(images.reshape(6, 4, 5, 3), others.reshape(5, 4, 5, 3))
    np.testing.assert_array_equal(folded, flat)


def test_beside_a_traced_array_numbers_beyond_float32_are_refused():
    x = np.ones((3, 2), np.float32)
    with pytest.raises(ValueError, match="the range of float32 beside a traced array, got 1e"):
        jax.jit(lambda q: squared_distances(q, 1e60 * np.ones((4, 2))))(x)


def test_a_traced_array_may_stand_beside_one_of_float64():
    x, y = gaussian(30, 5), gaussian(20, 5, seed=1).astype(np.float64)
    expected = oracles.squared_distances(x, y)
    found = jax.jit(lambda q: squared_distances(q, y))(x)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    found = jax.jit(lambda q: squared_distances(y, q))(x)
    np.testing.assert_allclose(found, expected.T, rtol=1e-5)


def test_different_widths_are_refused():
    with pytest.raises(ValueError, match=r"same number of features, got \[2, 3\]"):
        squared_distances(np.ones((4, 2)), np.ones((4, 3)))


def test_distances_too_large_for_float32_are_refused():
    cloud = 1e25 * gaussian(10, 3).astype(np.float64)
    with pytest.raises(ValueError, match="below the largest float32"):
        squared_distances(cloud, cloud)


def filled(cloud):
    return as_points(cloud, filled=filled_length)[0]


def assert_inside(points, bounds):
    n = np.count_nonzero(points.present)
    upper = upper_in_program(points, np.arange(n), bounds)
    # The bounds are for real arithmetic of float32 values: nothing is to spare.
    true = oracles.squared_distances(oracles.whole(points))[:n, :n]
    np.fill_diagonal(true, np.inf)
    assert np.all(np.asarray(bounds.lower, np.float64)[:, :n] <= true)
    assert np.all(true <= np.asarray(upper, np.float64)[:, :n])


@pytest.mark.parametrize("name", NASTY)
def test_the_bounds_hold_the_true_distances(name):
    points = filled(NASTY[name])
    assert_inside(points, by_products(points, np.arange(N)))


@pytest.mark.parametrize("d", [1024, 1025, 3000])
def test_the_bounds_of_wide_clouds_hold_the_true_distances(d):
    points = filled(gaussian(100, d))
    assert_inside(points, by_products(points, np.arange(100)))


@pytest.mark.parametrize("name", NASTY)
def test_the_bounds_by_differences_hold_the_true_distances(name):
    points = filled(NASTY[name])
    assert_inside(points, by_differences(jax.device_put(points), np.arange(N)))


@pytest.mark.parametrize("d", [17, 784])
def test_the_bounds_are_narrow_for_an_ordinary_cloud(d):
    points = filled(gaussian(N, d))
    bounds = by_products(points, np.arange(N))
    upper = np.asarray(upper_in_program(points, np.arange(N), bounds))
    others = ~np.eye(N, upper.shape[1], dtype=bool) & points.present
    apart = np.median((upper - bounds.lower)[others]) / np.median(upper[others])
    assert 0 < apart < 4 * (d + 100) * FLOAT32


@pytest.mark.parametrize("name", ["plain", "clusters 100 apart", "one row at 1e6"])
@pytest.mark.parametrize("way", [by_products, by_differences])
def test_an_upper_bound_has_the_same_bits_alone_and_on_the_host_as_in_its_block(name, way):
    points, rows, columns = filled(NASTY[name]), np.arange(40), np.arange(N)[None]
    bounds = way(jax.device_put(points), rows)
    whole = upper_in_program(points, rows, bounds)[:, :N]
    for upper, given in (upper_in_program, bounds), (upper_bounds, jax.device_get(bounds)):
        entries = upper(points, rows, given, (rows[:, None], columns))
        np.testing.assert_array_equal(entries, whole)


def test_memory_is_the_result_and_not_more():
    shape = ((3000, 20), jnp.float32)
    # One more block of at most 2**22 entries would not be seen: the result is larger.
    assert largest_array(squared_distances, shape, shape) <= 3000 * 3072
