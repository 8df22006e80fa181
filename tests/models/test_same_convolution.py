"""The matrix-product convolution of stride 1 against flax's, in transforms and refusals."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxvae.models.same_convolution import SameConvolution, convolve_same

# batch (odd), height, width, channels in, channels out; the last two smaller than a kernel
SIZES = [(3, 8, 6, 1, 5), (5, 7, 10, 8, 3), (2, 1, 4, 3, 2), (3, 1, 1, 2, 4)]
KERNELS = [1, 3, 5]


def draw(size, kernel_size):
    batch, height, width, inputs, outputs = size
    image_key, kernel_key = jax.random.split(jax.random.key(0))
    images = jax.random.normal(image_key, (batch, height, width, inputs))
    kernel = jax.random.normal(kernel_key, (kernel_size, kernel_size, inputs, outputs))
    return images, kernel


def flax_same(images, kernel):
    layer = nn.Conv(kernel.shape[3], kernel.shape[:2], padding="SAME", use_bias=False)
    return layer.apply({"params": {"kernel": kernel}}, images)


def gradients(function, images, kernel):
    def loss(images, kernel):
        # A cotangent that differs at every output, so that no tap can stand for another.
        return jnp.sum(jnp.sin(function(images, kernel)))

    return jax.grad(loss, argnums=(0, 1))(images, kernel)


def assert_close(actual, expected):
    # The same few hundred float32 products summed in another order: the difference is a
    # few dozen roundings (eps 6e-8) of the largest value, not of each one, as terms cancel.
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        largest = float(jnp.max(jnp.abs(other)))
        np.testing.assert_allclose(one, other, rtol=0, atol=4e-6 * largest)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel_size", KERNELS)
def test_values_are_those_of_flax(kernel_size, size):
    images, kernel = draw(size, kernel_size)
    assert_close(jax.jit(convolve_same)(images, kernel), jax.jit(flax_same)(images, kernel))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel_size", KERNELS)
def test_gradients_are_those_of_flax(kernel_size, size):
    compiled = jax.jit(gradients, static_argnums=0)
    images, kernel = draw(size, kernel_size)
    assert_close(compiled(convolve_same, images, kernel), compiled(flax_same, images, kernel))


def test_values_are_the_definition():
    images, kernel = draw((2, 4, 5, 2, 3), 3)
    padded = np.pad(np.asarray(images, np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros((2, 4, 5, 3))
    for row, column in np.ndindex(4, 5):
        window = padded[:, row : row + 3, column : column + 3]
        expected[:, row, column] = np.einsum("bstc,stco->bo", window, np.asarray(kernel))
    # Eighteen float32 products around 1.
    np.testing.assert_allclose(convolve_same(images, kernel), expected, atol=1e-5)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_gradients_of_both_orders_are_finite_differences(kernel_size):
    # Steps of 1e-4: central differences of the second order are off by their square, 1e-8.
    with jax.enable_x64(True):
        images, kernel = draw((1, 4, 3, 2, 3), kernel_size)
        images, kernel = images.astype(jnp.float64), kernel.astype(jnp.float64)
        check_grads(
            jax.jit(convolve_same), (images, kernel), order=2, modes="rev", atol=1e-6, rtol=1e-6
        )


def test_a_pixel_reaches_only_the_pixels_under_the_kernel():
    images, kernel = draw((1, 9, 8, 2, 3), 3)
    moved = convolve_same(images.at[0, 4, 2].add(1.0), kernel) - convolve_same(images, kernel)
    reached = np.zeros((9, 8), bool)
    reached[3:6, 1:4] = True
    np.testing.assert_array_equal(np.any(np.asarray(moved[0]) != 0, axis=-1), reached)


def test_the_kernel_with_only_a_center_keeps_the_image():
    images, _ = draw((2, 5, 4, 3, 3), 3)
    kernel = jnp.zeros((3, 3, 3, 3)).at[1, 1].set(jnp.eye(3))
    np.testing.assert_array_equal(convolve_same(images, kernel), images)


def test_vmap_over_members_is_the_loop_over_members():
    images, _ = draw((3, 8, 6, 2, 5), 3)
    kernels = jax.random.normal(jax.random.key(1), (3, 3, 3, 2, 5))

    def member(kernel):
        return convolve_same(images, kernel), gradients(convolve_same, images, kernel)

    expected = jax.tree.map(lambda *members: jnp.stack(members), *map(member, kernels))
    assert_close(jax.vmap(member)(kernels), expected)


def test_gradients_inside_scan_are_those_outside():
    images, kernel = draw((3, 8, 6, 2, 5), 3)
    batches = jnp.stack([images, 2 * images])
    _, inside = jax.lax.scan(
        lambda _, batch: (None, gradients(convolve_same, batch, kernel)), None, batches
    )
    outside = [gradients(convolve_same, batch, kernel) for batch in batches]
    assert_close(inside, jax.tree.map(lambda *steps: jnp.stack(steps), *outside))


def test_bfloat16_images_are_rounded_once_after_a_float32_sum():
    images, kernel = draw((3, 8, 6, 8, 5), 3)
    images, kernel = images.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    result = convolve_same(images, kernel)
    exact = convolve_same(images.astype(jnp.float32), kernel.astype(jnp.float32))
    assert result.dtype == jnp.bfloat16
    # Half a unit in the last of bfloat16's 8 bits, plus the rounding of the float32 sum.
    np.testing.assert_allclose(result.astype(jnp.float32), exact, rtol=2**-8, atol=1e-5)


def test_gradients_of_bfloat16_images_keep_the_dtype_of_their_argument():
    images, kernel = draw((3, 8, 6, 2, 5), 3)
    image_gradient, kernel_gradient = gradients(convolve_same, images.astype(jnp.bfloat16), kernel)
    assert (image_gradient.dtype, kernel_gradient.dtype) == (jnp.bfloat16, jnp.float32)


@pytest.mark.parametrize("kernel_size", KERNELS)
def test_a_layer_starts_from_the_parameters_of_its_flax_peer(kernel_size):
    images, _ = draw((3, 8, 6, 2, 5), kernel_size)
    layers = SameConvolution(5, kernel_size), nn.Conv(5, (kernel_size, kernel_size))
    parameters, expected = (layer.init(jax.random.key(0), images) for layer in layers)
    jax.tree.map(np.testing.assert_array_equal, parameters, expected)


def test_a_layer_adds_the_bias_to_every_pixel():
    images, kernel = draw((3, 8, 6, 2, 5), 3)
    bias = jnp.arange(5.0)
    with jax.numpy_rank_promotion("raise"):
        result = SameConvolution(5).apply({"params": {"kernel": kernel, "bias": bias}}, images)
    assert_close(result - convolve_same(images, kernel), jnp.broadcast_to(bias, result.shape))


def test_a_layer_takes_its_kernel_initializer():
    layer = SameConvolution(5, kernel_init=nn.initializers.ones)
    parameters = layer.init(jax.random.key(0), jnp.zeros((1, 4, 4, 2)))
    np.testing.assert_array_equal(parameters["params"]["kernel"], jnp.ones((3, 3, 2, 5)))


@pytest.mark.parametrize("shape", [(2, 2, 2, 3), (4, 4, 2, 3), (3, 1, 2, 3), (3, 3, 2)])
def test_kernels_that_are_even_or_not_square_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected a kernel .* with k odd, got"):
        convolve_same(jnp.zeros((1, 4, 4, 2)), jnp.zeros(shape))


def test_a_layer_with_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match=r"with k odd, got shape \(4, 4, 2, 5\)"):
        SameConvolution(5, 4).init(jax.random.key(0), jnp.zeros((1, 4, 4, 2)))


def test_channels_that_differ_are_refused():
    with pytest.raises(ValueError, match="expected 3 channels, got"):
        convolve_same(jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 3, 3, 5)))


def test_a_single_image_without_batch_is_refused():
    with pytest.raises(ValueError, match=r"expected images \[b, h, w, c\], got"):
        convolve_same(jnp.zeros((4, 4, 2)), jnp.zeros((3, 3, 2, 3)))


def test_integer_images_are_refused():
    with pytest.raises(ValueError, match="expected floating-point images, got uint8"):
        convolve_same(jnp.zeros((1, 4, 4, 2), jnp.uint8), jnp.zeros((3, 3, 2, 3)))
