"""The geometry of layers, and of the Gaussian that stands for no information."""

import jax
import numpy as np
import pytest

from jaxvae.analysis import gaussian_dimension, profile
from jaxvae.metrics import information_imbalance, two_nn

N = 60
RANDOM = np.random.default_rng(0)
LAYERS = {
    "input": RANDOM.normal(size=(N, 3, 2)).astype("f4"),
    "mean": RANDOM.normal(size=(N, 2)).astype("f4"),
    "constant": np.ones((N, 4), np.float32),
}
# One cloud of 5,000 points each, as published with the paper.
PUBLISHED = {2: 1.99, 4: 4.09, 8: 8.32, 16: 14.4}


@pytest.fixture(scope="module")
def layers():
    return profile(LAYERS)


def test_the_layers_keep_their_order(layers):
    assert layers.layers == ("input", "mean", "constant")


def test_the_dimension_of_a_layer_is_its_two_nn(layers):
    for index, name in enumerate(("input", "mean")):
        expected = two_nn(LAYERS[name])
        np.testing.assert_array_equal(layers.dimension[index], expected.value)
        np.testing.assert_array_equal(layers.stderr[index], expected.stderr)
        np.testing.assert_array_equal(layers.points[index], expected.points)


def test_an_entry_is_the_imbalance_from_its_row_to_its_column(layers):
    forward, backward = information_imbalance(LAYERS["input"], LAYERS["mean"])
    np.testing.assert_allclose(layers.imbalance[0, 1], forward, rtol=1e-6)
    np.testing.assert_allclose(layers.imbalance[1, 0], backward, rtol=1e-6)


def test_a_layer_predicts_itself_up_to_the_floor(layers):
    np.testing.assert_allclose(np.diag(layers.imbalance)[:2], 2 / N, rtol=1e-6)


def test_a_constant_layer_has_no_dimension_and_says_nothing(layers):
    assert np.isnan(layers.dimension[2])
    assert layers.points[2] == 1
    # Against a space where all is tied every rank is n / 2.
    np.testing.assert_allclose(layers.imbalance[:2, 2], 1, rtol=1e-6)


def test_layers_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="expected"):
        profile({"input": LAYERS["input"], "mean": LAYERS["mean"][:-1]})


def test_activations_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="expected finite values"):
        profile({"input": np.full((N, 2), np.nan, np.float32)})


@pytest.mark.slow
@pytest.mark.parametrize("features", PUBLISHED)
def test_a_gaussian_has_the_published_dimension(features):
    mean, _ = gaussian_dimension(jax.random.key(0), n=5000, features=features, clouds=4)
    # One cloud of n points spreads by about 1.2 / sqrt(0.9 n), 1.8% at 5,000. Three times that
    # for the difference of one cloud (theirs) and the mean of four, and half a last digit.
    tolerance = 3 * 0.018 * np.sqrt(1 + 1 / 4) * PUBLISHED[features]
    assert mean == pytest.approx(PUBLISHED[features], abs=tolerance + 0.05)


def test_the_spread_of_one_gaussian_is_reported_beside_the_mean():
    values = [
        float(two_nn(jax.random.normal(key, (200, 3))).value)
        for key in jax.random.split(jax.random.key(1), 8)
    ]
    mean, spread = gaussian_dimension(jax.random.key(1), n=200, features=3)
    np.testing.assert_allclose((mean, spread), (np.mean(values), np.std(values, ddof=1)))


def test_room_for_more_features_changes_no_distance():
    keys = jax.random.split(jax.random.key(1), 2)
    cut = [np.asarray(jax.random.normal(key, (200, 5)))[:, :3] for key in keys]
    mean, _ = gaussian_dimension(jax.random.key(1), n=200, features=3, clouds=2, room=5)
    assert mean == pytest.approx(np.mean([float(two_nn(cloud).value) for cloud in cut]), rel=1e-5)


def test_the_null_needs_no_promotion_of_types_or_ranks():
    options = {"n": 50, "features": 2, "clouds": 2, "room": 3}
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        found = gaussian_dimension(jax.random.key(1), **options)
    assert found == gaussian_dimension(jax.random.key(1), **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"room": 2}, "expected room for 3 features, got room=2"),
        ({"clouds": 1}, "expected at least 2 clouds, got clouds=1"),
        ({"features": 0}, "expected at least 1 feature, got features=0"),
    ],
)
def test_a_null_that_cannot_be_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        gaussian_dimension(jax.random.key(1), **({"n": 50, "features": 3} | change))


def test_the_null_is_a_function_of_its_key():
    first, second = (
        gaussian_dimension(jax.random.key(1), n=200, features=3, clouds=2) for _ in range(2)
    )
    assert first == second
