"""The transformer encoder and decoder: sizes, symmetries, transforms and refusals."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.models.transformer import (
    TransformerBlock,
    TransformerDecoder,
    TransformerEncoder,
    _to_images,
    _to_patches,
)
from tests.models.networks import (
    BATCH,
    assert_close,
    count_parameters,
    draw,
    outputs_of,
    parameters_of,
    tap_shapes,
)

SMALL = {"patch": 4, "width": 12, "depth": 2, "heads": 3}
IMAGE, LATENTS, TOKENS = (8, 12, 2), 3, 6
ENCODER, DECODER = TransformerEncoder(**SMALL), TransformerDecoder(IMAGE, **SMALL)
NETWORKS = [(ENCODER, IMAGE), (DECODER, (LATENTS,))]
EACH_NETWORK = pytest.mark.parametrize(("network", "shape"), NETWORKS, ids=["encoder", "decoder"])


# --- sizes ----------------------------------------------------------------------------


@EACH_NETWORK
def test_the_embedding_and_every_block_are_taps_in_depth_order(network, shape):
    assert tap_shapes(network, shape) == [(name, (TOKENS, 12)) for name in ("1", "2", "3")]


@pytest.mark.slow
@EACH_NETWORK
def test_no_two_taps_are_the_same_before_training(network, shape):
    inputs = draw(shape)
    parameters = jax.jit(partial(network.init, train=False))(jax.random.key(0), inputs)
    taps = np.stack(list(outputs_of(network, parameters, inputs)[1].values()))
    changes, sizes = np.std(np.diff(taps, axis=0), axis=(1, 2, 3)), np.std(taps, axis=(1, 2, 3))
    assert np.all(changes > 0.1 * sizes[1:])


def test_the_features_are_one_token_wide():
    images = draw(IMAGE)
    features, _ = outputs_of(ENCODER, parameters_of(ENCODER, images), images)
    assert features.shape == (BATCH, 12)


def test_the_decoder_returns_images():
    latents = draw((LATENTS,))
    logits, _ = outputs_of(DECODER, parameters_of(DECODER, latents), latents)
    assert logits.shape == (BATCH, *IMAGE)


def blocks(width, depth):
    attention = 4 * (width * width + width)
    network = width * 4 * width + 4 * width + 4 * width * width + width
    norm = 2 * width
    return depth * (attention + network + 2 * norm) + norm


def test_the_encoder_has_the_parameters_of_its_layers():
    expected = 64 * 128 + 64 * 128 + blocks(128, 4)
    assert count_parameters(TransformerEncoder(), (64, 64, 1)) == expected


def test_the_decoder_has_the_parameters_of_its_layers():
    expected = 10 * 64 * 128 + 64 * 128 + blocks(128, 4) + 128 * 64 * 3 + 64 * 3
    assert count_parameters(TransformerDecoder((64, 64, 3)), (10,)) == expected


# --- patches --------------------------------------------------------------------------


def test_patches_are_the_squares_of_the_image_row_by_row():
    images = np.asarray(draw(IMAGE))
    patches = _to_patches(jnp.asarray(images), 4).reshape(BATCH, 2, 3, 4, 4, 2)
    for row, column in np.ndindex(2, 3):
        square = images[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        np.testing.assert_array_equal(patches[:, row, column], square)


def test_images_of_patches_are_the_images():
    images = draw(IMAGE)
    np.testing.assert_array_equal(_to_images(_to_patches(images, 4), 4, IMAGE), images)


# --- values ---------------------------------------------------------------------------


def normalized(tokens, norm):
    centered = tokens - tokens.mean(axis=-1, keepdims=True)
    scaled = centered / np.sqrt(np.mean(centered**2, axis=-1, keepdims=True) + 1e-6)
    return scaled * norm["scale"] + norm["bias"]


def test_a_block_is_its_definition():
    tokens = draw((TOKENS, 12))
    module = TransformerBlock(heads=3, depth=2)
    shapes = jax.eval_shape(module.init, jax.random.key(0), tokens)
    random = np.random.default_rng(0)
    parameters = jax.tree.map(lambda leaf: random.normal(0, 0.3, leaf.shape).astype("f4"), shapes)
    weights = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), parameters["params"])
    attention = weights["MultiHeadDotProductAttention_0"]

    expected = np.asarray(tokens, np.float64)
    hidden = normalized(expected, weights["LayerNorm_0"])
    query, key, value = (
        np.einsum("btd,dhe->bhte", hidden, attention[name]["kernel"])
        + attention[name]["bias"][None, :, None]
        for name in ("query", "key", "value")
    )
    weight = np.exp(np.einsum("bhqe,bhke->bhqk", query, key) / np.sqrt(4))
    weight /= weight.sum(axis=-1, keepdims=True)
    heads = np.einsum("bhqk,bhke->bqhe", weight, value)
    out = attention["out"]
    expected = expected + np.einsum("bqhe,hed->bqd", heads, out["kernel"]) + out["bias"]
    hidden = normalized(expected, weights["LayerNorm_1"])
    hidden = hidden @ weights["Dense_0"]["kernel"] + weights["Dense_0"]["bias"]
    gelu = hidden / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)))
    expected = expected + gelu @ weights["Dense_1"]["kernel"] + weights["Dense_1"]["bias"]
    assert_close(jax.jit(module.apply)(parameters, tokens), expected)


@pytest.mark.slow
def test_the_branches_of_all_blocks_together_start_at_the_scale_of_one_layer():
    tokens = draw((16, 64))

    def growth(depth):
        block = TransformerBlock(heads=4, depth=depth)
        output, _ = jax.jit(block.init_with_output)(jax.random.key(0), tokens)
        return jnp.mean((output - tokens) ** 2)

    # The variance that a block adds is proportional to the inverse of their number.
    np.testing.assert_allclose(growth(8) / growth(2), 1 / 4, rtol=0.1)


def without_positions(parameters):
    inner = {**parameters["params"]}
    inner["positions"] = jnp.zeros_like(inner["positions"])
    return {"params": inner}


def test_without_positions_the_encoder_permutes_its_tokens_with_the_patches():
    images = draw(IMAGE)
    parameters = without_positions(parameters_of(ENCODER, images))
    order = jnp.array([3, 0, 5, 1, 4, 2])
    permuted = _to_images(_to_patches(images, 4)[:, order], 4, IMAGE)
    features, taps = outputs_of(ENCODER, parameters, images)
    permuted_features, permuted_taps = outputs_of(ENCODER, parameters, permuted)
    assert_close(permuted_taps, jax.tree.map(lambda tap: tap[:, order], taps))
    assert_close(permuted_features, features)


def test_with_positions_the_encoder_tells_where_a_patch_is():
    images = draw(IMAGE)
    parameters = parameters_of(ENCODER, images)
    permuted = _to_images(_to_patches(images, 4)[:, ::-1], 4, IMAGE)
    features, others = (outputs_of(ENCODER, parameters, each)[0] for each in (images, permuted))
    # Rounding moves them by less than a thousandth of this.
    assert np.abs(features - others).max() > 0.01


def test_every_token_of_the_first_block_sees_every_patch():
    images = draw(IMAGE)
    parameters = parameters_of(ENCODER, images)
    moved = images.at[:, :4, :4].add(1.0)
    before, after = (outputs_of(ENCODER, parameters, each)[1] for each in (images, moved))
    embedded, attended = (
        np.any(np.asarray(before[name] != after[name]), axis=(0, 2)) for name in ("1", "2")
    )
    assert embedded.tolist() == [True] + [False] * 5
    assert attended.all()


def test_at_the_origin_the_embedding_of_the_decoder_is_its_positions():
    latents = jnp.zeros((BATCH, LATENTS))
    parameters = parameters_of(DECODER, latents)
    _, taps = outputs_of(DECODER, parameters, latents)
    positions = parameters["params"]["positions"]
    np.testing.assert_array_equal(taps["1"], jnp.broadcast_to(positions, (BATCH, TOKENS, 12)))


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(10, 8), (8, 10), (2, 4)])
def test_images_that_patches_do_not_tile_are_refused(size):
    message = r"divisible by 4 for patches of that size, got \d+ x \d+; resize"
    with pytest.raises(ValueError, match=message):
        ENCODER.init(jax.random.key(0), jnp.zeros((1, *size, 1)), train=False)
    decoder = TransformerDecoder((*size, 1), **SMALL)
    with pytest.raises(ValueError, match=message):
        decoder.init(jax.random.key(0), jnp.zeros((1, LATENTS)), train=False)


def test_a_width_that_heads_do_not_divide_is_refused():
    options = {**SMALL, "width": 13}
    with pytest.raises(ValueError, match="a width divisible by 3 heads, got 13"):
        TransformerEncoder(**options).init(jax.random.key(0), jnp.zeros((1, *IMAGE)), train=False)
    with pytest.raises(ValueError, match="a width divisible by 3 heads, got 13"):
        TransformerDecoder(IMAGE, **options).init(
            jax.random.key(0), jnp.zeros((1, LATENTS)), train=False
        )
