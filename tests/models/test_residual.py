"""The residual encoder and decoder: sizes, their definition, transforms and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.models.residual import ResidualBlock, ResidualDecoder, ResidualEncoder
from jaxvae.models.same_convolution import convolve_same
from jaxvae.models.strided_convolution import convolve_up
from tests.models.networks import (
    BATCH,
    assert_close,
    count_parameters,
    draw,
    outputs_of,
    parameters_of,
    tap_shapes,
)

CHANNELS, IMAGE, LATENTS = (4, 6, 5), (16, 8, 2), 3
ENCODER, DECODER = ResidualEncoder(CHANNELS), ResidualDecoder(CHANNELS, IMAGE)
NETWORKS = [(ENCODER, IMAGE), (DECODER, (LATENTS,))]
EACH_NETWORK = pytest.mark.parametrize(("network", "shape"), NETWORKS, ids=["encoder", "decoder"])


# --- sizes ----------------------------------------------------------------------------


def test_every_block_of_the_encoder_is_a_tap_at_half_the_size():
    assert tap_shapes(ENCODER, IMAGE) == [("1", (8, 4, 4)), ("2", (4, 2, 6)), ("3", (2, 1, 5))]


def test_every_block_of_the_decoder_is_a_tap_at_twice_the_size():
    assert tap_shapes(DECODER, (LATENTS,)) == [
        ("1", (2, 1, 5)), ("2", (4, 2, 6)), ("3", (8, 4, 4)),
    ]  # fmt: skip


def test_the_features_are_the_last_tap():
    images = draw(IMAGE)
    features, taps = outputs_of(ENCODER, parameters_of(ENCODER, images), images)
    np.testing.assert_array_equal(features, taps["3"].reshape(BATCH, -1))


def test_the_decoder_returns_images_that_may_be_negative():
    latents = draw((LATENTS,))
    logits, _ = outputs_of(DECODER, parameters_of(DECODER, latents), latents)
    assert logits.shape == (BATCH, *IMAGE)
    assert logits.min() < 0 < logits.max()


def strided(inputs, outputs):
    return 4 * 4 * inputs * outputs + outputs


def block(channels):
    return 2 * (3 * 3 * channels * channels + channels)


def test_the_encoder_has_the_parameters_of_its_convolutions():
    expected = (
        strided(1, 32) + block(32) + strided(32, 32) + block(32)
        + strided(32, 64) + block(64) + strided(64, 64) + block(64)
    )  # fmt: skip
    assert count_parameters(ResidualEncoder((32, 32, 64, 64)), (64, 64, 1)) == expected


def test_the_decoder_has_the_parameters_of_its_convolutions_and_a_dense_layer():
    expected = (
        10 * 1024 + 1024
        + block(64) + strided(64, 64) + block(64) + strided(64, 32)
        + block(32) + strided(32, 32) + block(32) + strided(32, 1)
    )  # fmt: skip
    decoder = ResidualDecoder((32, 32, 64, 64), (64, 64, 1))
    assert count_parameters(decoder, (10,)) == expected


# --- values ---------------------------------------------------------------------------


def test_a_block_is_its_definition():
    images = draw((6, 5, 4))
    leaves = {"kernel": (3, 3, 4, 4), "bias": (4,)}
    random = np.random.default_rng(0)
    inner, outer = (
        {name: random.normal(0, 0.3, shape).astype("f4") for name, shape in leaves.items()}
        for _ in range(2)
    )
    parameters = {"params": {"SameConvolution_0": inner, "SameConvolution_1": outer}}
    branch = np.maximum(convolve_same(images, inner["kernel"]) + inner["bias"], 0)
    branch = convolve_same(branch, outer["kernel"]) + outer["bias"]
    assert_close(ResidualBlock().apply(parameters, images), np.maximum(images + branch, 0))


def test_a_block_starts_as_the_identity_on_what_a_relu_puts_out():
    images = jnp.abs(draw((6, 5, 4)))
    outputs, _ = ResidualBlock().init_with_output(jax.random.key(0), images)
    np.testing.assert_array_equal(outputs, images)


def test_the_output_is_the_last_tap_through_a_convolution():
    latents = draw((LATENTS,))
    parameters = parameters_of(DECODER, latents)
    logits, taps = outputs_of(DECODER, parameters, latents)
    last = parameters["params"]["UpConvolution_2"]
    assert_close(logits, convolve_up(taps["3"], last["kernel"]) + last["bias"])


def test_a_pixel_reaches_only_the_features_near_it():
    images = draw((32, 32, 2))
    parameters = parameters_of(ENCODER, images)
    moved = images.at[:, 1, 1].add(1.0)
    before, after = (outputs_of(ENCODER, parameters, each)[1]["1"] for each in (images, moved))
    changed = np.argwhere(np.any(np.asarray(before != after), axis=(0, 3)))
    # The stride-2 convolution takes the pixel to features 0 and 1, and each convolution of
    # the block one further.
    assert changed.max() == 3


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(12, 8), (8, 12), (4, 4)])
def test_images_that_cannot_be_halved_often_enough_are_refused(size):
    message = r"divisible by 8 for 3 stages of stride 2, got \d+ x \d+; resize"
    with pytest.raises(ValueError, match=message):
        ENCODER.init(jax.random.key(0), jnp.zeros((1, *size, 1)), train=False)
    decoder = ResidualDecoder(CHANNELS, (*size, 1))
    with pytest.raises(ValueError, match=message):
        decoder.init(jax.random.key(0), jnp.zeros((1, LATENTS)), train=False)


def test_no_stages_are_refused():
    with pytest.raises(ValueError, match="expected the channels of at least one stage, got none"):
        ResidualEncoder(()).init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), train=False)
    with pytest.raises(ValueError, match="expected the channels of at least one stage, got none"):
        ResidualDecoder((), (8, 8, 1)).init(jax.random.key(0), jnp.zeros((1, 2)), train=False)
