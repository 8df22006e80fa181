"""The matrix-product convolutions against flax's, against their adjoints and in transforms."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxvae.models.layers import DownConvolution, UpConvolution, convolve_down, convolve_up

# batch (odd), height, width, channels in, channels out
SIZES = [(3, 8, 6, 1, 5), (5, 2, 10, 8, 16)]
KERNELS = [2, 4, 6]
OPERATIONS = [convolve_down, convolve_up]


def draw(size, kernel_size):
    batch, height, width, inputs, outputs = size
    image_key, kernel_key = jax.random.split(jax.random.key(0))
    images = jax.random.normal(image_key, (batch, height, width, inputs))
    kernel = jax.random.normal(kernel_key, (kernel_size, kernel_size, inputs, outputs))
    return images, kernel


def flax_down(images, kernel):
    size = kernel.shape[0]
    layer = nn.Conv(kernel.shape[3], (size, size), (2, 2), (size - 2) // 2, use_bias=False)
    return layer.apply({"params": {"kernel": kernel}}, images)


def flax_up(images, kernel):
    size = kernel.shape[0]
    layer = nn.ConvTranspose(kernel.shape[3], (size, size), (2, 2), "SAME", use_bias=False)
    return layer.apply({"params": {"kernel": kernel}}, images)


@partial(jax.jit, static_argnums=0)
def gradients(function, images, kernel):
    def loss(images, kernel):
        # A cotangent that differs at every output, so that no tap can stand for another.
        return jnp.sum(jnp.sin(function(images, kernel)))

    return jax.grad(loss, argnums=(0, 1))(images, kernel)


PAIRS = [(convolve_down, flax_down), (convolve_up, flax_up)]


def assert_close(actual, expected):
    # The same few hundred float32 products summed in another order: the difference is a
    # few dozen roundings (eps 6e-8) of the largest value, not of each one, as terms cancel.
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        largest = float(jnp.max(jnp.abs(other)))
        np.testing.assert_allclose(one, other, rtol=0, atol=4e-6 * largest)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel_size", KERNELS)
@pytest.mark.parametrize(("operation", "peer"), PAIRS)
def test_values_are_those_of_flax(operation, peer, kernel_size, size):
    images, kernel = draw(size, kernel_size)
    assert_close(jax.jit(operation)(images, kernel), jax.jit(peer)(images, kernel))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel_size", KERNELS)
@pytest.mark.parametrize(("operation", "peer"), PAIRS)
def test_gradients_are_those_of_flax(operation, peer, kernel_size, size):
    images, kernel = draw(size, kernel_size)
    assert_close(gradients(operation, images, kernel), gradients(peer, images, kernel))


@pytest.mark.parametrize("kernel_size", [2, 4])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_gradients_of_both_orders_are_finite_differences(operation, kernel_size):
    # A bilinear function has exact central differences, so float64 leaves only rounding.
    with jax.enable_x64(True):
        images, kernel = draw((1, 4, 2, 2, 3), kernel_size)
        images, kernel = images.astype(jnp.float64), kernel.astype(jnp.float64)
        check_grads(
            jax.jit(operation), (images, kernel), order=2, modes="rev", atol=1e-8, rtol=1e-8
        )


@pytest.mark.parametrize("kernel_size", KERNELS)
def test_up_with_the_transposed_kernel_is_the_adjoint_of_down(kernel_size):
    images, kernel = draw((3, 8, 6, 4, 5), kernel_size)
    others = jax.random.normal(jax.random.key(1), (3, 4, 3, 5))
    transposed = jnp.swapaxes(kernel[::-1, ::-1], 2, 3)
    left = jnp.vdot(convolve_down(images, kernel), others)
    right = jnp.vdot(images, convolve_up(others, transposed))
    # The inner products cancel: the scale of their rounding is that of the two norms.
    scale = jnp.linalg.norm(convolve_down(images, kernel)) * jnp.linalg.norm(others)
    assert abs(left - right) < 1e-6 * scale


def test_a_constant_image_keeps_its_value_under_kernels_that_sum_to_one():
    images = jnp.ones((2, 6, 6, 1))
    averaged = convolve_down(images, jnp.full((2, 2, 1, 1), 0.25))
    repeated = convolve_up(images, jnp.ones((2, 2, 1, 1)))
    np.testing.assert_array_equal(averaged, jnp.ones((2, 3, 3, 1)))
    np.testing.assert_array_equal(repeated, jnp.ones((2, 12, 12, 1)))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_vmap_over_members_is_the_loop_over_members(operation):
    images, _ = draw((3, 8, 6, 2, 5), 4)
    kernels = jax.random.normal(jax.random.key(1), (3, 4, 4, 2, 5))

    def member(kernel):
        return operation(images, kernel), gradients(operation, images, kernel)

    expected = jax.tree.map(lambda *members: jnp.stack(members), *map(member, kernels))
    assert_close(jax.vmap(member)(kernels), expected)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_gradients_inside_scan_are_those_outside(operation):
    images, kernel = draw((3, 8, 6, 2, 5), 4)
    batches = jnp.stack([images, 2 * images])
    _, inside = jax.lax.scan(lambda _, x: (None, gradients(operation, x, kernel)), None, batches)
    outside = [gradients(operation, batch, kernel) for batch in batches]
    assert_close(inside, jax.tree.map(lambda *steps: jnp.stack(steps), *outside))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_gradients_are_the_same_when_the_forward_pass_is_recomputed(operation):
    images, kernel = draw((3, 8, 6, 2, 5), 4)
    recomputed = gradients(jax.checkpoint(operation), images, kernel)
    assert_close(recomputed, gradients(operation, images, kernel))


@pytest.mark.parametrize(("operation", "peer"), PAIRS)
def test_one_jitted_function_serves_two_image_sizes(operation, peer):
    jitted = jax.jit(operation)
    for size in [(3, 8, 6, 2, 5), (2, 4, 12, 2, 5)]:
        images, kernel = draw(size, 4)
        assert_close(jitted(images, kernel), peer(images, kernel))


def test_up_accepts_odd_sizes():
    images, kernel = draw((3, 7, 1, 2, 5), 4)
    assert_close(convolve_up(images, kernel), flax_up(images, kernel))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_bfloat16_images_are_rounded_once_after_a_float32_sum(operation):
    images, kernel = draw((3, 8, 6, 8, 5), 4)
    images, kernel = images.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    result = operation(images, kernel)
    exact = operation(images.astype(jnp.float32), kernel.astype(jnp.float32))
    assert result.dtype == jnp.bfloat16
    # Half a unit in the last of bfloat16's 8 bits, plus the rounding of the float32 sum.
    np.testing.assert_allclose(result.astype(jnp.float32), exact, rtol=2**-8, atol=1e-5)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_gradients_of_bfloat16_images_keep_the_dtype_of_their_argument(operation):
    images, kernel = draw((3, 8, 6, 2, 5), 4)
    image_gradient, kernel_gradient = gradients(operation, images.astype(jnp.bfloat16), kernel)
    assert (image_gradient.dtype, kernel_gradient.dtype) == (jnp.bfloat16, jnp.float32)


@pytest.mark.parametrize("kernel_size", [2, 4])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_layer_starts_from_the_parameters_of_its_flax_peer(operation, kernel_size):
    images, _ = draw((3, 8, 6, 2, 5), kernel_size)
    square, strides = (kernel_size, kernel_size), (2, 2)
    if operation is convolve_down:
        ours, theirs = DownConvolution(5, kernel_size), nn.Conv(5, square, strides)
    else:
        ours, theirs = UpConvolution(5, kernel_size), nn.ConvTranspose(5, square, strides)
    parameters, expected = (layer.init(jax.random.key(0), images) for layer in (ours, theirs))
    jax.tree.map(np.testing.assert_array_equal, parameters, expected)


@pytest.mark.parametrize("kernel_size", [2, 4])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_layer_adds_the_bias_to_every_pixel(operation, kernel_size):
    images, kernel = draw((3, 8, 6, 2, 5), kernel_size)
    bias = jnp.arange(5.0)
    layer = {convolve_down: DownConvolution, convolve_up: UpConvolution}[operation]
    with jax.numpy_rank_promotion("raise"):
        result = layer(5, kernel_size).apply({"params": {"kernel": kernel, "bias": bias}}, images)
    assert_close(result - operation(images, kernel), jnp.broadcast_to(bias, result.shape))


@pytest.mark.parametrize("layer", [DownConvolution, UpConvolution])
def test_a_layer_takes_its_kernel_initializer(layer):
    parameters = layer(5, kernel_init=nn.initializers.ones).init(
        jax.random.key(0), jnp.zeros((1, 4, 4, 2))
    )
    np.testing.assert_array_equal(parameters["params"]["kernel"], jnp.ones((4, 4, 2, 5)))


@pytest.mark.parametrize("shape", [(1, 5, 4, 2), (1, 4, 5, 2)])
def test_down_refuses_odd_sizes(shape):
    with pytest.raises(ValueError, match="expected an even height and width, got"):
        convolve_down(jnp.zeros(shape), jnp.zeros((4, 4, 2, 3)))


@pytest.mark.parametrize("shape", [(3, 3, 2, 3), (4, 2, 2, 3), (4, 4, 2)])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_kernels_that_are_odd_or_not_square_are_refused(operation, shape):
    with pytest.raises(ValueError, match=r"expected a kernel .* with k even, got"):
        operation(jnp.zeros((1, 4, 4, 2)), jnp.zeros(shape))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_channels_that_differ_are_refused(operation):
    with pytest.raises(ValueError, match="expected 3 channels, got"):
        operation(jnp.zeros((1, 4, 4, 2)), jnp.zeros((4, 4, 3, 5)))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_single_image_without_batch_is_refused(operation):
    with pytest.raises(ValueError, match=r"expected images \[b, h, w, c\], got"):
        operation(jnp.zeros((4, 4, 2)), jnp.zeros((4, 4, 2, 3)))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_integer_images_are_refused(operation):
    with pytest.raises(ValueError, match="expected floating-point images, got uint8"):
        operation(jnp.zeros((1, 4, 4, 2), jnp.uint8), jnp.zeros((4, 4, 2, 3)))
