"""Traversals of a decoder whose pixels are known functions of single latents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxvae.analysis import evaluate
from jaxvae.analysis.traversal import latent_traversals
from jaxvae.models import Variables, build_vae, dense_vae, two_layer_hvae
from tests.tiers import parametrize

IMAGES = np.random.default_rng(0).integers(0, 256, (23, 4, 4, 1), dtype=np.uint8)
LATENTS = 4


class Encoder(nn.Module):
    @nn.compact
    def __call__(self, images, *, train):
        return images.reshape(len(images), -1), {}


class Decoder(nn.Module):
    """Row i of the image is the log-odds `z_i`; the last row ignores its latent."""

    @nn.compact
    def __call__(self, latents, *, train):
        heard = latents * jnp.array([1.0, 1, 1, 0])
        return jnp.broadcast_to(heard[:, :, None, None], (len(latents), 4, 4, 1)), {}


VAE = build_vae(Encoder(), Decoder(), image_shape=(4, 4, 1), latents=LATENTS)


@pytest.fixture(scope="module")
def variables():
    """Means scaled by latent, so that the order of the rates is 2, 0, 3, 1."""
    params, statistics = jax.jit(VAE.init)(jax.random.key(0))
    scales = np.array([1.0, 0.0, 2.0, 0.5], np.float32)
    mean = {"kernel": params["mean"]["kernel"] * scales, "bias": params["mean"]["bias"]}
    log_variance = jax.tree.map(np.zeros_like, params["log_variance"])
    return Variables({**params, "mean": mean, "log_variance": log_variance}, statistics)


@pytest.fixture(scope="module")
def posterior(variables):
    """Means and rates by latent, in float64."""
    kernel = np.asarray(variables.params["mean"]["kernel"], np.float64)
    means = IMAGES.reshape(23, -1) / 255 @ kernel
    return means, (means**2 / 2).mean(axis=0)


@pytest.fixture(scope="module")
def traversals(variables):
    return latent_traversals(VAE, variables, IMAGES, example=3, steps=5)


def test_latents_are_ordered_by_their_rate_the_largest_first(traversals, posterior):
    assert traversals.latents.tolist() == np.argsort(-posterior[1]).tolist() == [2, 0, 3, 1]
    np.testing.assert_allclose(traversals.kl, posterior[1][traversals.latents], rtol=1e-5)


def test_the_rates_are_those_of_the_evaluation(traversals, variables):
    rates = evaluate(VAE, variables, IMAGES, key=jax.random.key(1)).number_rates[0]
    np.testing.assert_allclose(traversals.kl, rates[traversals.latents], rtol=1e-6)


def test_the_moved_latent_takes_the_values_and_the_others_stay_at_the_mean(traversals, posterior):
    assert traversals.values.tolist() == [-2, -1, 0, 1, 2]
    for row, latent in enumerate(traversals.latents):
        for column, value in enumerate(traversals.values):
            latents = posterior[0][3].copy()
            latents[latent] = value
            expected = 1 / (1 + np.exp(-latents * [1, 1, 1, 0]))
            found = traversals.images[row, column, :, :, 0]
            np.testing.assert_allclose(found, expected[:, None] + np.zeros(4), rtol=1e-5)


def test_only_what_the_moved_latent_draws_moves(traversals):
    moves = np.ptp(traversals.images, axis=1)[..., 0].max(axis=-1)  # row of latent, row of image
    for row, latent in enumerate(traversals.latents):
        assert {place for place in range(LATENTS) if moves[row, place] > 0} == {latent} - {3}


def test_a_latent_that_the_decoder_ignores_gives_a_constant_row(traversals):
    (ignored,) = traversals.images[traversals.latents == 3]
    np.testing.assert_array_equal(ignored, np.broadcast_to(ignored[0], ignored.shape))


@parametrize("example", [22, 0])
def test_where_a_latent_meets_its_own_mean_is_the_reconstruction_of_the_mean(example):
    vae = dense_vae(image_shape=(4, 4, 1), latents=3, widths=(32,))
    variables = jax.jit(vae.init)(jax.random.key(1))
    image = IMAGES[example : example + 1] / np.float32(255)
    mean = jax.jit(vae.apply)(variables, image, np.zeros((1, 3), np.float32)).mean[0]
    decode = jax.jit(vae.decode)
    for latent in range(3):
        span = abs(float(mean[latent]))
        found = latent_traversals(vae, variables, IMAGES, example=example, steps=2, span=span)
        row = found.latents.tolist().index(latent)
        np.testing.assert_allclose(found.means[row], mean[latent], rtol=1e-4)
        own = found.images[row, int(mean[latent] > 0)]
        np.testing.assert_allclose(own, decode(variables, mean[None])[0], rtol=1e-5)


def test_at_most_so_many_latents_are_moved(variables, traversals):
    two = latent_traversals(VAE, variables, IMAGES, example=3, steps=5, latents=2)
    assert (two.latents.tolist(), two.available, two.means.shape) == ([2, 0], LATENTS, (2,))
    np.testing.assert_array_equal(two.images, traversals.images[:2])


def test_shapes_types_and_range(traversals):
    assert traversals.images.shape == (LATENTS, 5, 4, 4, 1)
    assert traversals.images.dtype == np.float32
    assert 0 <= traversals.images.min() <= traversals.images.max() <= 1


@pytest.mark.parametrize("batch_size", [7, 23])
def test_the_batch_size_changes_nothing(variables, traversals, batch_size):
    other = latent_traversals(VAE, variables, IMAGES, example=3, steps=5, batch_size=batch_size)
    for one, expected in zip(other, traversals, strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-6)


def test_a_rate_that_is_not_a_number_comes_last(variables):
    bias = np.array([0, 0, np.nan, 0], np.float32)
    spoiled = {
        **variables.params,
        "log_variance": {**variables.params["log_variance"], "bias": bias},
    }
    found = latent_traversals(VAE, variables._replace(params=spoiled), IMAGES)
    assert found.latents.tolist() == [0, 3, 1, 2]
    assert np.isnan(found.kl).tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"example": 23}, "expected an example from 0 to 22, got 23"),
        ({"example": -1}, "expected an example from 0 to 22, got -1"),
        ({"example": 1.0}, "expected an example from 0 to 22, got 1.0"),
        ({"latents": 2.0}, "expected at least one latent, got 2.0"),
        ({"latents": 0}, "expected at least one latent, got 0"),
        ({"steps": 1}, "expected at least 2 steps, got 1"),
        ({"span": 0.0}, "expected a span above 0, got 0"),
        ({"span": np.inf}, "expected a span above 0, got inf"),
        ({"span": np.nan}, "expected a span above 0, got nan"),
        ({"batch_size": 0}, "expected a batch_size of at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(variables, setting, message):
    with pytest.raises(ValueError, match=message):
        latent_traversals(VAE, variables, IMAGES, **setting)


def test_float_images_are_refused(variables):
    with pytest.raises(ValueError, match="expected uint8 images"):
        latent_traversals(VAE, variables, IMAGES / 255)


def test_a_hierarchy_is_refused():
    hierarchy = two_layer_hvae(image_shape=(28, 28, 1), channels=8, top=4)
    with pytest.raises(ValueError, match=r"expected a VAE of one layer of latents.* got HVAE"):
        latent_traversals(hierarchy, None, IMAGES)
