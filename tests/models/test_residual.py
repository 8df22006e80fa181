"""The residual encoder and decoder: sizes, their definition, transforms and refusals."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.models.layers import convolve_up
from jaxvae.models.residual import ResidualBlock, ResidualDecoder, ResidualEncoder
from jaxvae.models.same_convolution import convolve_same

CHANNELS, IMAGE, LATENTS, BATCH = (4, 6, 5), (16, 8, 2), 3, 4
ENCODER, DECODER = ResidualEncoder(CHANNELS), ResidualDecoder(CHANNELS, IMAGE)
NETWORKS = [(ENCODER, IMAGE), (DECODER, (LATENTS,))]
EACH_NETWORK = pytest.mark.parametrize(("network", "shape"), NETWORKS, ids=["encoder", "decoder"])


def draw(shape):
    return jax.random.normal(jax.random.key(1), (BATCH, *shape))


def parameters_of(network, inputs, key=0):
    """Random numbers in place of all parameters, so that no bias and no block is zero."""
    random = np.random.default_rng(key)
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), inputs, train=False))
    return jax.tree.map(lambda leaf: random.normal(0, 0.3, leaf.shape).astype("f4"), shapes)


@partial(jax.jit, static_argnames=("network", "train"))
def outputs_of(network, parameters, inputs, *, train=True):
    return network.apply(parameters, inputs, train=train)


def assert_close(actual, expected):
    # The same float32 sums of up to a hundred terms, grouped in another way.
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5),
        actual,
        expected,
    )


# --- sizes ----------------------------------------------------------------------------


def tap_shapes(network, shape):
    """Names and shapes in the order of the dict, without computing anything."""
    named = []

    def trace():
        inputs = jnp.zeros((1, *shape))
        (_, taps), _ = network.init_with_output(jax.random.key(0), inputs, train=False)
        named.extend((name, tap.shape[1:]) for name, tap in taps.items())

    jax.eval_shape(trace)
    return named


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


def count_parameters(network, shape):
    shapes = jax.eval_shape(
        lambda: network.init(jax.random.key(0), jnp.zeros((1, *shape)), train=False)
    )
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


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


@EACH_NETWORK
def test_every_example_is_evaluated_by_itself(network, shape):
    inputs = draw(shape)
    parameters = parameters_of(network, inputs)
    together = outputs_of(network, parameters, inputs)
    alone = outputs_of(network, parameters, inputs[2:3])
    assert_close(alone, jax.tree.map(lambda leaf: leaf[2:3], together))


@EACH_NETWORK
def test_training_and_evaluation_are_the_same(network, shape):
    inputs = draw(shape)
    parameters = parameters_of(network, inputs)
    assert list(parameters) == ["params"]
    training, evaluation = (
        outputs_of(network, parameters, inputs, train=train) for train in (True, False)
    )
    jax.tree.map(np.testing.assert_array_equal, training, evaluation)


# --- transforms -----------------------------------------------------------------------


@EACH_NETWORK
def test_vmap_over_parameters_is_the_loop_over_parameters(network, shape):
    inputs = draw(shape)
    members = [parameters_of(network, inputs, key) for key in range(3)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    looped = [outputs_of(network, member, inputs) for member in members]
    expected = jax.tree.map(lambda *leaves: np.stack(leaves), *looped)
    mapped = jax.jit(jax.vmap(lambda member: network.apply(member, inputs, train=True)))
    assert_close(mapped(stacked), expected)


@EACH_NETWORK
def test_gradients_reach_every_parameter(network, shape):
    inputs = draw(shape)
    parameters = parameters_of(network, inputs)
    gradients = jax.jit(
        jax.grad(lambda p: jnp.sum(jnp.sin(network.apply(p, inputs, train=True)[0])))
    )(parameters)
    without = [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradients)
        if not np.any(leaf)
    ]
    assert without == []


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
