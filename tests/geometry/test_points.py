import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.geometry.distances import rounding
from jaxvae.geometry.points import as_points, same_length
from jaxvae.geometry.sums import sum_of_squares
from tests import oracles
from tests.clouds import NASTY, TIED, gaussian, grid

FLOAT32_CLOUDS = [name for name, cloud in NASTY.items() if cloud.dtype == np.float32]


@pytest.mark.parametrize("name", FLOAT32_CLOUDS)
def test_float32_values_are_kept_to_the_last_bit(name):
    cloud = NASTY[name]
    (points,) = as_points(cloud)
    kept = np.ldexp(np.asarray(points.values, np.float64), int(points.exponent))
    np.testing.assert_array_equal(kept, cloud)


def test_tiny_values_are_kept_to_the_last_bit_while_a_function_is_traced():
    cloud = gaussian() * np.float32(1e-30)
    values, exponent = jax.jit(lambda x: as_points(x)[0][::6])(cloud)
    np.testing.assert_array_equal(np.ldexp(np.asarray(values, float), int(exponent)), cloud)


def test_float64_keeps_a_spread_that_its_offset_hides_from_float32():
    spread = 1e-3 * gaussian().astype(np.float64)
    (points,) = as_points(1e3 + spread)
    kept = np.ldexp(oracles.whole(points), int(points.exponent))
    # 1e3 + spread is itself rounded, to 1e-13; two float32 keep 48 bits of the 4e-3 extent.
    error = np.abs((kept - kept[0]) - ((1e3 + spread) - (1e3 + spread[0])))
    assert error.max() < 1e-16


def test_what_float32_holds_leaves_no_rest():
    assert as_points(gaussian().astype(np.float64).round(2))[0].rest is not None
    for cloud in (gaussian(), grid().astype(np.float64), grid().astype(np.int64)):
        assert as_points(cloud)[0].rest is None


@pytest.mark.parametrize("scale", [1e-300, 1e-41, 1e-38, 1e-22, 1.0, 1e20, 3e38, 1e300])
def test_the_largest_coordinate_is_near_two_to_the_40(scale):
    cloud = scale * np.array([[-1.0, 0.5], [0.3, -0.1], [0.0, 1.0]])
    cloud = cloud.astype(np.float32) if 1e-44 < scale < 1e39 else cloud
    (points,) = as_points(cloud)
    assert 2.0**39 <= jnp.max(jnp.abs(points.centered)) < 2.0**40


def test_the_center_is_a_value_of_the_data_in_every_column():
    (points,) = as_points(gaussian())
    center = np.asarray(points.values - points.centered)
    assert np.all(np.any(np.asarray(points.centered) == 0, axis=0))
    assert np.all(np.abs(center) < np.abs(points.values).max())


def test_an_outlying_row_does_not_move_the_center():
    (points,) = as_points(NASTY["one row at 1e6"])
    usual = np.delete(np.asarray(points.centered), 7, axis=0)
    assert np.abs(usual).max() < 1e-5 * np.abs(points.centered).max()


def test_two_clouds_share_one_center_and_one_scale():
    cloud = gaussian()
    whole = as_points(cloud)[0]
    first, second = as_points(cloud[:100], cloud[100:])
    np.testing.assert_array_equal(np.concatenate([first.values, second.values]), whole.values)
    assert first.exponent == second.exponent == whole.exponent


@pytest.mark.parametrize("name", TIED)
def test_coarse_grids_are_exact(name):
    (points,) = as_points(TIED[name])
    assert points.on_grid
    assert rounding(points) == 0


@pytest.mark.parametrize(("bright", "exact"), [(64, True), (65, False)])
def test_bytes_are_exact_while_the_largest_distance_between_them_has_24_bits(bright, exact):
    # 64 pixels of 255 have a squared norm below 2**22, 65 above, and distances up to 4 times it.
    images = np.zeros((100, 28, 28), np.uint8)
    images[0].flat[:bright] = 255
    images.reshape(100, -1)[range(100), range(100, 200)] = range(100)
    assert bool(as_points(images)[0].on_grid) is exact
    assert bool(as_points(jnp.asarray(images))[0].on_grid) is exact


@pytest.mark.parametrize("name", ["plain", "grid 0.1", "hidden steps", "near duplicates"])
def test_what_float32_rounds_is_not_called_exact(name):
    (points,) = as_points(NASTY[name])
    assert not points.on_grid
    assert rounding(points) > 0


@pytest.mark.parametrize("d", [1, 17, 33, 784, 3072])
def test_sums_of_squares_stay_inside_their_rounding_bound(d):
    (points,) = as_points(gaussian(200, d))
    differences = points.values - points.values[0]
    exact = (np.asarray(differences, np.float64) ** 2).sum(axis=1)
    error = np.abs(sum_of_squares(differences) - exact)[1:] / exact[1:]
    assert error.max() < rounding(points)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([[1.0], [2.0]], "expected an array .* got list"),
        (np.ones(5), r"with features, got shape \(5,\)"),
        (np.ones((0, 3)), "at least one point and one feature"),
        (np.ones((3, 0)), "at least one point and one feature"),
        (np.ones((3, 2), complex), "real numbers, got complex128"),
        (np.array([["a"]]), "real numbers, got <U1"),
        (np.array([[object()]]), "real numbers, got object"),
        (np.array([[1.0], [np.nan]]), "NaN or infinity in row 1"),
        (np.array([[np.inf], [1.0]]), "NaN or infinity in row 0"),
        (np.array([[1.0], [-np.inf]], np.float32), "NaN or infinity in row 1"),
        (np.array([[1.0], [np.nan]], np.float16), "NaN or infinity in row 1"),
        (jnp.array([[1.0], [2.0], [jnp.nan]]), "NaN or infinity in row 2"),
        (jnp.array([[jnp.inf], [2.0]], jnp.bfloat16), "NaN or infinity in row 0"),
    ],
)
def test_what_is_no_finite_cloud_is_refused(array, message):
    with pytest.raises(ValueError, match=message):
        as_points(array)


def test_clouds_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"same number of points in every space, got \[3, 4\]"):
        same_length(np.ones((3, 1)), np.ones((4, 1)))


def test_points_are_formed_inside_jit_as_outside():
    cloud = gaussian()
    inside = jax.jit(lambda x: as_points(x)[0])(cloud)
    for got, want in zip(*map(jax.tree.leaves, (inside, as_points(cloud)[0])), strict=True):
        # Only the norms are sums, whose order the compiler may choose.
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_whole_numbers_of_any_type_are_the_same_points():
    reference = as_points(grid().astype(np.float32))[0]
    for kind in (np.uint8, np.int16, np.int32, np.int64, np.float16, np.float64):
        for array in (grid().astype(kind), jnp.asarray(grid().astype(kind).tolist())):
            (points,) = as_points(array)
            np.testing.assert_array_equal(points.centered, reference.centered)
