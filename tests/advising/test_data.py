"""The dimension of the data, and when it cannot be told."""

import numpy as np
import pytest

from benchmarks.advise import ellipse_images
from benchmarks.error_rates.dimensions import arm_images
from jaxvae.advising.data import _smooth, data_dimension
from jaxvae.advising.noise import lost_variance, pixel_noise
from jaxvae.data.distinct import first_distinct
from jaxvae.models.likelihoods import gaussian_nll
from tests.advising.images import linear_images
from tests.tiers import parametrize


def cloud(n, features):
    return np.random.default_rng(0).standard_normal((n, features)).astype(np.float32)


def test_a_gaussian_of_few_dimensions_has_its_dimension_without_doubts():
    found = data_dimension(cloud(1000, 3))
    assert abs(found.value - 3) < 3 * found.stderr
    assert found.doubts == ()


def test_few_images_leave_the_dimension_in_doubt():
    assert any("only 100 distinct" in doubt for doubt in data_dimension(cloud(100, 3)).doubts)


def test_noise_around_a_line_has_another_dimension_at_every_scale():
    line = np.linspace(0, 100, 1000, dtype=np.float32)[:, None]
    points = line * np.ones(8, np.float32) + 0.3 * cloud(1000, 8)
    assert any("estimates differ" in doubt for doubt in data_dimension(points).doubts)


def test_a_high_dimension_is_a_lower_bound():
    assert any("lower bound" in doubt for doubt in data_dimension(cloud(1000, 20)).doubts)


def test_the_noise_of_pixels_grows_with_their_contrast_and_falls_with_the_dimension():
    images = np.array([[0], [20]], np.uint8).repeat(16, axis=1)
    # Variance of every pixel (10 / 255)^2, of 16 of them, over 20 and 4 dimensions.
    expected = 10 / 255 * np.sqrt(16 / 20 / 4)
    assert pixel_noise(images, 4.0) == pytest.approx(expected, rel=1e-2)
    assert pixel_noise(2 * images, 4.0) == pytest.approx(2 * expected, rel=1e-2)
    assert pixel_noise(images, float("nan")) == pixel_noise(images, 8.0)


def test_images_that_are_all_the_same_have_no_noise():
    with pytest.raises(ValueError, match="expected images that differ, got 5 equal images"):
        pixel_noise(np.ones((5, 4), np.uint8), 2.0)


def test_the_noise_is_that_of_the_variance_of_all_images_at_once():
    images = np.random.default_rng(1).integers(0, 256, (600, 5, 4, 1)).astype(np.uint8)
    variance = (images / 255).var(axis=0).sum()
    assert pixel_noise(images, 4.0) == float(f"{(variance / 20 / 4.0) ** 0.5:.3g}")


def test_the_share_of_the_variance_that_is_lost_is_the_squared_error_over_the_variance():
    random = np.random.default_rng(2)
    images = random.integers(0, 256, (300, 5, 4, 1)).astype(np.uint8)
    pixels = (images / 255).astype(np.float32)
    reconstructions = pixels + 0.1 * random.standard_normal(pixels.shape, np.float32)
    nll = gaussian_nll(reconstructions, pixels, log_variance=2 * np.log(0.3))
    error = ((reconstructions - pixels) ** 2).sum() / len(images) / pixels.var(axis=0).sum()
    assert lost_variance(float(nll.mean()), images, 0.3) == pytest.approx(error, rel=1e-4)


@parametrize("features", [5, 3, 2])
def test_the_fewest_latents_are_the_dimensions_that_the_data_surely_have(features):
    found = [
        data_dimension(np.random.default_rng(seed).random((1000, features))) for seed in range(20)
    ]
    fewest = [each.fewest_latents for each in found if not each.doubts]
    assert len(fewest) > 15
    # At an edge of a cube the dimension seems a little lower, by .2 of 5.
    assert set(fewest) <= {features, features - (features == 5)}


@pytest.mark.parametrize("rank", [2, 4])
def test_rounding_to_bytes_makes_no_size_surely_too_small(rank):
    # It raises the dimension among near neighbors, that of rank 2 to 2.4 with an error of .08.
    found = data_dimension(linear_images(rank)[:2000])
    assert found.fewest_latents == rank
    assert found.likely == found.value


@pytest.mark.slow
def test_sharp_edges_are_seen_where_neighbors_differ_by_single_pixels():
    # Of so many images neighbors are nearer than a pixel, where TwoNN after smoothing is 3 too.
    random = np.random.default_rng(1)
    images = np.where(ellipse_images(2, random, 2000) > 127, np.uint8(255), np.uint8(0))
    found = data_dimension(images[first_distinct(images, 2000)])
    assert found.smoothed[0] > 2.5
    assert found.fewest_latents == 0


@parametrize(("count", "size"), [(3, 28), (2, 28), (3, 64)])
def test_sharp_edges_double_the_dimension_and_make_no_size_surely_too_small(count, size):
    random = np.random.default_rng(0)
    at, half = random.uniform(0.25, 0.75, (2, 600, 1, 1)) * size, 0.16 * size
    if count == 3:
        half = random.uniform(0.1, 0.22, (600, 1, 1)) * size
    pixels = np.arange(size) + 0.5
    inside = np.hypot(pixels[:, None] - at[0], pixels - at[1]) < half
    images = np.where(inside, np.uint8(255), np.uint8(0))
    found = data_dimension(images[first_distinct(images, 500)])
    assert found.value > 1.5 * count
    assert found.smoothed[0] == pytest.approx(count, rel=0.2)
    assert any("noise or sharp edges" in doubt for doubt in found.doubts)
    assert found.fewest_latents == 0
    # Sizes to try begin where the images are, not at twice that.
    assert found.likely == found.smallest == pytest.approx(count, rel=0.2)


def test_an_arm_that_turns_has_a_dimension_that_grows_with_the_distance_of_neighbors():
    images = arm_images(2, np.random.default_rng(0), 500)
    found = data_dimension(images[first_distinct(images, 500)])
    assert found.value == pytest.approx(2, rel=0.2)
    assert found.scales[-1] > 1.5 * found.value
    assert any(doubt.endswith("as where images curve") for doubt in found.doubts)
    assert found.fewest_latents == 0


def test_smoothing_keeps_constants_and_takes_away_what_changes_from_pixel_to_pixel():
    constant = np.full((5, 40, 30, 3), 7, np.uint8)
    np.testing.assert_allclose(_smooth(constant), np.full((5, 28, 28, 3), 7), rtol=1e-6)
    stripes = np.tile(np.array([0, 200], np.uint8), (5, 20, 10))
    smooth = _smooth(stripes)
    assert smooth.shape == (5, 20, 20)
    # Away from the border, a wave of two pixels and of height 100 is weakened, with a deviation of
    # s = 20 / 14 pixels, to 200 exp(-(pi s)^2 / 2) = .0085: twice, as its two frequencies are one.
    np.testing.assert_allclose(smooth[:, :, 6:14], 100, atol=0.01)


def test_where_the_dimension_is_in_doubt_no_size_is_surely_too_small():
    high = data_dimension(cloud(1000, 30))
    assert high.doubts
    assert high.fewest_latents == 0
    assert data_dimension(np.zeros((300, 2), np.float32)).fewest_latents == 0


def test_a_dimension_that_is_undefined_is_said_to_be_unknown():
    found = data_dimension(np.eye(300, dtype=np.float32))
    assert str(found).startswith("The intrinsic dimension of the data is not known")
    assert np.isnan(found.smallest)
    assert np.isnan(found.likely)
    assert "nan" not in str(found)
