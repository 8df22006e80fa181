"""Convolutions that shrink or grow an image, against flax's, their definition, their adjoint."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.models.layers import FullConvolution, ValidConvolution
from jaxvae.models.valid_convolution import convolve_full, convolve_valid
from tests.models.kernels import assert_close, draw, values_and_gradients, zeros

PEERS = {convolve_valid: nn.Conv, convolve_full: nn.ConvTranspose}
LAYERS = {convolve_valid: ValidConvolution, convolve_full: FullConvolution}

each = pytest.mark.parametrize("function", PEERS, ids=lambda function: function.__name__)


@pytest.mark.parametrize(
    ("size", "kernel_size"), [((3, 7, 7, 2, 5), 4), ((2, 4, 5, 3, 1), 3), ((2, 2, 3, 1, 4), 1)]
)
@each
def test_values_and_gradients_are_those_of_flax(function, size, kernel_size):
    images, kernel = draw(size, kernel_size)

    def peer(images, kernel):
        layer = PEERS[function](size[4], (kernel_size,) * 2, padding="VALID", use_bias=False)
        return layer.apply({"params": {"kernel": kernel}}, images)

    expected = values_and_gradients(peer, images, kernel)
    assert_close(values_and_gradients(function, images, kernel), expected)


def test_values_are_the_definition():
    images, kernel = (array.astype(np.float64) for array in draw((2, 5, 4, 2, 3), 3))
    expected = np.zeros((2, 3, 2, 3))
    for row, column in np.ndindex(3, 2):
        window = images[:, row : row + 3, column : column + 3]
        expected[:, row, column] = np.einsum("bstc,stco->bo", window, kernel)
    single = np.float32(images), np.float32(kernel)
    # Some twenty float32 products around 1.
    np.testing.assert_allclose(jax.jit(convolve_valid)(*single), expected, atol=1e-5)


def test_full_with_the_turned_kernel_is_the_adjoint_of_valid():
    images, kernel = draw((3, 7, 6, 4, 5), 4)
    others = np.random.default_rng(1).normal(size=(3, 4, 3, 5)).astype("f4")
    turned = np.swapaxes(kernel[::-1, ::-1], 2, 3)
    valid, full = jax.jit(convolve_valid)(images, kernel), jax.jit(convolve_full)(others, turned)
    left, right = np.vdot(valid, others), np.vdot(images, full)
    # The inner products cancel: the scale of their rounding is that of the two norms.
    scale = np.linalg.norm(valid) * np.linalg.norm(others)
    assert abs(left - right) < 1e-6 * scale


@each
def test_vmap_over_members_is_the_loop_over_members(function):
    images, kernel = draw((3, 7, 6, 2, 5), 4)
    kernels = np.stack([kernel, 2 * kernel])
    member = partial(values_and_gradients, function, images)
    expected = jax.tree.map(lambda *members: np.stack(members), *map(member, kernels))
    assert_close(jax.vmap(member)(kernels), expected)


@each
def test_bfloat16_images_are_rounded_once_after_a_float32_sum(function):
    images, kernel = (array.astype(jnp.bfloat16) for array in draw((3, 7, 6, 8, 5), 4))
    result = jax.jit(function)(images, kernel)
    exact = jax.jit(function)(images.astype(np.float32), kernel.astype(np.float32))
    assert result.dtype == jnp.bfloat16
    # Half a unit in the last of bfloat16's 8 bits, plus the rounding of the float32 sum.
    np.testing.assert_allclose(np.asarray(result, np.float32), exact, rtol=2**-8, atol=1e-5)


@each
def test_a_layer_starts_from_the_parameters_of_its_flax_peer(function):
    images, _ = draw((3, 7, 6, 2, 5), 4)
    peer = PEERS[function](5, (4, 4), padding="VALID")
    parameters, expected = (
        jax.jit(layer.init)(jax.random.key(0), images) for layer in (LAYERS[function](5), peer)
    )
    jax.tree.map(np.testing.assert_array_equal, parameters, expected)


def test_images_smaller_than_the_kernel_are_refused():
    with pytest.raises(ValueError, match="expected images of at least 4 x 4, got"):
        convolve_valid(zeros(1, 3, 4, 2), zeros(4, 4, 2, 3))


@each
def test_what_cannot_be_convolved_is_refused(function):
    with pytest.raises(ValueError, match=r"expected a kernel \[k, k, in, out\], got"):
        function(zeros(1, 4, 4, 2), zeros(2, 3, 2, 3))
    with pytest.raises(ValueError, match="expected 3 channels, got"):
        function(zeros(1, 4, 4, 2), zeros(2, 2, 3, 5))
