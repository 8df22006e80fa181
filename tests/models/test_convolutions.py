"""The convolutions against flax's, against their adjoints and in transforms."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxvae.models.layers import DownConvolution, SameConvolution, UpConvolution
from jaxvae.models.same_convolution import convolve_same
from jaxvae.models.strided_convolution import (
    _is_cheaper_by_parts,
    _is_cheaper_by_patches,
    convolve_down,
    convolve_up,
)
from jaxvae.platforms import convolutions_as
from tests.models.kernels import assert_close, draw, values_and_gradients, with_gradients, zeros
from tests.tiers import parametrize


class Convolution(NamedTuple):
    """A function, its layer, the flax layer it stands for, and the kernels it takes."""

    function: Callable
    layer: type[nn.Module]
    peer: Callable
    parity: str
    kernels: tuple[int, int, int]


def flax_down(features, size, **options):
    return nn.Conv(features, (size, size), (2, 2), (size - 2) // 2, **options)


def flax_up(features, size, **options):
    return nn.ConvTranspose(features, (size, size), (2, 2), "SAME", **options)


def flax_same(features, size, **options):
    return nn.Conv(features, (size, size), padding="SAME", **options)


DOWN = Convolution(convolve_down, DownConvolution, flax_down, "even", (2, 4, 6))
UP = Convolution(convolve_up, UpConvolution, flax_up, "even", (2, 4, 6))
SAME = Convolution(convolve_same, SameConvolution, flax_same, "odd", (1, 3, 5))
ALL = (DOWN, UP, SAME)

# Batch (odd), height, width, channels in, channels out. Few channels in, few out, and the
# larger images are products in another order; the last two are smaller than a kernel.
SIZES = [
    (3, 8, 6, 1, 5),
    (3, 8, 8, 2, 2),
    (5, 2, 10, 8, 16),
    (2, 4, 6, 9, 2),
    (2, 2, 4, 3, 2),
    (3, 2, 2, 2, 4),
]

each = pytest.mark.parametrize("of", ALL, ids=lambda of: of.function.__name__)


def peer_of(of):
    def convolve(images, kernel):
        layer = of.peer(kernel.shape[3], kernel.shape[0], use_bias=False)
        return layer.apply({"params": {"kernel": kernel}}, images)

    return convolve


@partial(jax.jit, static_argnums=0)
def ours_and_those_of_flax(of, images, kernel):
    return [with_gradients(each, images, kernel) for each in (of.function, peer_of(of))]


@parametrize("size", SIZES[::2] + SIZES[1::2], quick=2)
@each
def test_values_and_gradients_of_every_kind_are_those_of_flax(of, size):
    @jax.jit
    def of_every_kind(images, kernel):
        found = {"of this platform": with_gradients(of.function, images, kernel)}
        for kind in ("products", "native"):
            with convolutions_as(kind):
                found[kind] = with_gradients(of.function, images, kernel)
        return with_gradients(peer_of(of), images, kernel), found

    expected, found = of_every_kind(*draw(size, of.kernels[1]))
    for kind, ours in found.items():
        assert_close(ours, expected, kind)


SMALLEST, LARGEST = 0, 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "size"),
    [
        # Kernels of 2 x 2 take the other order of a product with few channels in alone.
        *((SMALLEST, size) for size in SIZES[:2]),
        # Those of 6 x 6 all orders, the last image being smaller than the kernel.
        *((LARGEST, SIZES[at]) for at in (0, 1, 3, 5)),
    ],
)
@each
def test_values_and_gradients_of_other_kernels_are_those_of_flax(of, place, size):
    assert_close(*ours_and_those_of_flax(of, *draw(size, of.kernels[place])))


@pytest.mark.parametrize("kernel_size", [4, 6])
def test_the_sizes_above_take_both_orders_of_a_product(kernel_size):
    drawn = [draw(size, kernel_size) for size in SIZES]
    assert {_is_cheaper_by_patches(*each) for each in drawn} == {True, False}
    assert {_is_cheaper_by_parts(*each) for each in drawn} == {True, False}


@parametrize("shape", [(7, 1), (1, 1), (7, 10)])
@pytest.mark.parametrize("of", [UP, SAME], ids=["up", "same"])
def test_odd_sizes_are_those_of_flax(of, shape):
    assert_close(*ours_and_those_of_flax(of, *draw((3, *shape, 2, 5), of.kernels[1])))


@pytest.mark.parametrize(
    ("of", "stride", "margin"), [(SAME, 1, 1), (DOWN, 2, 1)], ids=["same", "down"]
)
def test_values_are_the_definition(of, stride, margin):
    images, kernel = draw((2, 4, 6, 2, 3), of.kernels[1])
    around = ((0, 0), (margin, margin), (margin, margin), (0, 0))
    padded = np.pad(images.astype(np.float64), around)
    expected = np.zeros((2, 4 // stride, 6 // stride, 3))
    for row, column in np.ndindex(*expected.shape[1:3]):
        top, left, size = stride * row, stride * column, len(kernel)
        window = padded[:, top : top + size, left : left + size]
        expected[:, row, column] = np.einsum("bstc,stco->bo", window, kernel)
    # Two or three dozen float32 products around 1.
    np.testing.assert_allclose(jax.jit(of.function)(images, kernel), expected, atol=1e-5)


SMALL_SIZES = [(1, 4, 2, 2, 3), (1, 4, 2, 1, 4), (1, 4, 2, 4, 1), (1, 8, 8, 1, 1)]


@parametrize("size", SMALL_SIZES)
@each
def test_gradients_of_both_orders_are_finite_differences(of, size):
    # Steps of 1e-4: central differences of the second order are off by their square, 1e-8.
    with jax.enable_x64(True):
        images, kernel = (array.astype(np.float64) for array in draw(size, of.kernels[1]))
        check_grads(
            jax.jit(of.function), (images, kernel), order=2, modes="rev", atol=1e-6, rtol=1e-6
        )


@pytest.mark.parametrize("kernel_size", DOWN.kernels)
def test_up_with_the_transposed_kernel_is_the_adjoint_of_down(kernel_size):
    images, kernel = draw((3, 8, 6, 4, 5), kernel_size)
    others = np.random.default_rng(1).normal(size=(3, 4, 3, 5)).astype("f4")
    transposed = np.swapaxes(kernel[::-1, ::-1], 2, 3)
    down, up = jax.jit(convolve_down)(images, kernel), jax.jit(convolve_up)(others, transposed)
    left, right = np.vdot(down, others), np.vdot(images, up)
    # The inner products cancel: the scale of their rounding is that of the two norms.
    scale = np.linalg.norm(down) * np.linalg.norm(others)
    assert abs(left - right) < 1e-6 * scale


def test_a_constant_image_keeps_its_value_under_kernels_that_sum_to_one():
    images, ones = np.ones((2, 6, 6, 1), np.float32), np.ones((2, 2, 1, 1), np.float32)
    averaged = jax.jit(convolve_down)(images, ones / 4)
    repeated = jax.jit(convolve_up)(images, ones)
    np.testing.assert_array_equal(averaged, np.ones((2, 3, 3, 1)))
    np.testing.assert_array_equal(repeated, np.ones((2, 12, 12, 1)))


def test_the_kernel_with_only_a_center_keeps_the_image():
    images, _ = draw((2, 5, 4, 3, 3), 3)
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[1, 1] = np.eye(3)
    np.testing.assert_array_equal(jax.jit(convolve_same)(images, kernel), images)


def test_a_pixel_reaches_only_the_pixels_under_the_kernel():
    images, kernel = draw((1, 9, 8, 2, 3), 3)
    convolve, other = jax.jit(convolve_same), images.copy()
    other[0, 4, 2] += 1
    moved = np.asarray(convolve(other, kernel)) != np.asarray(convolve(images, kernel))
    reached = np.zeros((9, 8), bool)
    reached[3:6, 1:4] = True
    np.testing.assert_array_equal(np.any(moved[0], axis=-1), reached)


@each
def test_vmap_over_members_is_the_loop_over_members(of):
    images, _ = draw((3, 8, 6, 2, 5), of.kernels[1])
    kernels = np.stack([draw((1, 1, 1, 2, 5), of.kernels[1])[1] * scale for scale in (1, 2, 3)])
    member = partial(values_and_gradients, of.function, images)
    expected = jax.tree.map(lambda *members: np.stack(members), *map(member, kernels))
    assert_close(jax.vmap(member)(kernels), expected)


@each
def test_gradients_inside_scan_are_those_outside(of):
    images, kernel = draw((3, 8, 6, 2, 5), of.kernels[1])
    batches = np.stack([images, 2 * images])

    def step(_, batch):
        return None, values_and_gradients(of.function, batch, kernel)

    outside = [step(None, batch)[1] for batch in batches]
    assert_close(
        jax.lax.scan(step, None, batches)[1], jax.tree.map(lambda *s: np.stack(s), *outside)
    )


@each
def test_gradients_are_the_same_when_the_forward_pass_is_recomputed(of):
    images, kernel = draw((3, 8, 6, 2, 5), of.kernels[1])
    recomputed = values_and_gradients(jax.checkpoint(of.function), images, kernel)
    assert_close(recomputed, values_and_gradients(of.function, images, kernel))


@each
def test_bfloat16_images_are_rounded_once_after_a_float32_sum(of):
    images, kernel = draw((3, 8, 6, 8, 5), of.kernels[1])
    images, kernel = images.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    result = jax.jit(of.function)(images, kernel)
    exact = jax.jit(of.function)(images.astype(np.float32), kernel.astype(np.float32))
    assert result.dtype == jnp.bfloat16
    # Half a unit in the last of bfloat16's 8 bits, plus the rounding of the float32 sum.
    np.testing.assert_allclose(np.asarray(result, np.float32), exact, rtol=2**-8, atol=1e-5)


@each
def test_gradients_of_bfloat16_images_keep_the_dtype_of_their_argument(of):
    images, kernel = draw((3, 8, 6, 2, 5), of.kernels[1])
    _, gradients = values_and_gradients(of.function, images.astype(jnp.bfloat16), kernel)
    assert [gradient.dtype for gradient in gradients] == [jnp.bfloat16, jnp.float32]


@parametrize("place", [1, 0])
@each
def test_a_layer_starts_from_the_parameters_of_its_flax_peer(of, place):
    images, _ = draw((3, 8, 6, 2, 5), of.kernels[place])
    layers = (layer(5, of.kernels[place]) for layer in (of.layer, of.peer))
    parameters, expected = (jax.jit(layer.init)(jax.random.key(0), images) for layer in layers)
    jax.tree.map(np.testing.assert_array_equal, parameters, expected)


@parametrize("place", [1, 0])
@each
def test_a_layer_adds_the_bias_to_every_pixel(of, place):
    images, kernel = draw((3, 8, 6, 2, 5), of.kernels[place])
    bias, layer = np.arange(5, dtype=np.float32), of.layer(5, of.kernels[place])
    with jax.numpy_rank_promotion("raise"):
        result = jax.jit(layer.apply)({"params": {"kernel": kernel, "bias": bias}}, images)
    without = jax.jit(of.function)(images, kernel)
    assert_close(np.asarray(result) - without, np.broadcast_to(bias, result.shape))


@each
def test_a_layer_takes_its_kernel_initializer(of):
    layer = of.layer(5, kernel_init=nn.initializers.ones)
    kernel = jax.jit(layer.init)(jax.random.key(0), zeros(1, 4, 4, 2))["params"]["kernel"]
    np.testing.assert_array_equal(kernel, np.ones((*[of.kernels[1]] * 2, 2, 5)))


@pytest.mark.parametrize("shape", [(1, 5, 4, 2), (1, 4, 5, 2)])
def test_down_refuses_odd_sizes(shape):
    with pytest.raises(ValueError, match="expected an even height and width, got"):
        convolve_down(zeros(*shape), zeros(4, 4, 2, 3))


@pytest.mark.parametrize("wrong", [(1, 1, 2, 3), (0, -2, 2, 3), (0, 0, 2)])
@each
def test_kernels_of_the_other_parity_or_not_square_are_refused(of, wrong):
    size = of.kernels[1]
    shape = (size + wrong[0], size + wrong[1], *wrong[2:])
    with pytest.raises(ValueError, match=rf"expected a kernel .* with k {of.parity}, got"):
        of.function(zeros(1, 4, 4, 2), zeros(*shape))


@each
def test_channels_that_differ_are_refused(of):
    with pytest.raises(ValueError, match="expected 3 channels, got"):
        of.function(zeros(1, 4, 4, 2), zeros(*[of.kernels[1]] * 2, 3, 5))


@each
def test_a_single_image_without_batch_is_refused(of):
    with pytest.raises(ValueError, match=r"expected images \[b, h, w, c\], got"):
        of.function(zeros(4, 4, 2), zeros(*[of.kernels[1]] * 2, 2, 3))


@each
def test_integer_images_are_refused(of):
    with pytest.raises(ValueError, match="expected floating-point images, got uint8"):
        of.function(np.zeros((1, 4, 4, 2), np.uint8), zeros(*[of.kernels[1]] * 2, 2, 3))


@each
def test_a_layer_takes_numpy_images_of_float64(of):
    images, kernel = draw((2, 4, 6, 2, 5), of.kernels[1])
    layer, parameters = of.layer(5), {"params": {"kernel": kernel, "bias": zeros(5)}}
    apply = jax.jit(layer.apply)
    result = apply(parameters, images.astype(np.float64))
    np.testing.assert_array_equal(result, apply(parameters, images))


@pytest.mark.parametrize("platform", ["cuda", "tpu", "rocm"])
@each
def test_a_program_holds_products_where_they_were_faster_and_convolutions_elsewhere(of, platform):
    text = program_of_gradients(of, platform)
    products, native = "stablehlo.dot_general" in text, "stablehlo.convolution" in text
    assert (products, native) == (platform == "cuda", platform != "cuda")


@each
def test_on_cpu_no_convolution_spreads_its_operands_or_takes_kernels_in_groups(of):
    program = program_of_gradients(of, "cpu", members=2).splitlines()
    convolutions = [line for line in program if "stablehlo.convolution" in line]
    assert convolutions
    for line in convolutions:
        assert "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]" in line
        assert "lhs_dilate = [1, 1], rhs_dilate = [1, 1]" in line
        assert "feature_group_count = 1 " in line


def program_of_gradients(of, platform, members=None):
    """The program for a platform, of several kernels at once where members are given."""
    images, kernel = draw((2, 4, 6, 8, 5), of.kernels[1])
    gradients = jax.grad(lambda *given: jnp.sum(jnp.sin(of.function(*given))), (0, 1))
    if members:
        kernel, gradients = np.stack([kernel] * members), jax.vmap(gradients, (None, 0))
    traced = jax.jit(gradients).trace(images, kernel)
    return traced.lower(lowering_platforms=(platform,)).as_text()
