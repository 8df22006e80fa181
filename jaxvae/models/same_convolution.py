"""Stride-1 convolutions: on CPU direct, on CUDA as matrix products.

Like the stride-2 ones of `strided_convolution`, whose docstring says why. In a product, half of the
window is gathered before it and half of it added up after: along the columns
every pixel is set beside its `k` neighbors, one product gives what they mean to each
of `k` rows, and the rows are shifted and summed. Both sides of the product are then
`k` times the image where all patches are `k * k` times: with a product this small,
moving memory is most of the time. Gathering and adding are each other's adjoints,
so the gradients are the same three steps with rows and columns exchanged.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxvae.models.direct_convolution import convolve_directly, sum_of_gradients, transposed
from jaxvae.models.products import (
    Way,
    check_convolution,
    convolution,
    differentiated,
    flat,
    native_convolution,
    product,
)

_ROWS, _COLUMNS = 1, 2


def convolve_same(
    images: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"]
) -> Float[Array, "b h w o"]:
    """Convolution of stride 1, which keeps the height and width.

    `out[i, j] = sum_st images[i + s - m, j + t - m] @ kernel[s, t]` with
    `m = (k - 1) / 2` and zeros outside the image: the numbers, kernel layout and
    gradients of `flax.linen.Conv` with `padding="SAME"`.

    The result has the dtype of the images; sums are accumulated in at least
    float32. Differentiable in reverse mode, to any order; forward mode
    (`jvp`, `jacfwd`, `hessian`) raises a TypeError.

    Args:
        images: batch of images of any height and width.
        kernel: weights, `k` odd.

    Raises:
        ValueError: an even kernel size, a wrong rank, channels that differ, or a dtype
            that is not floating-point.
    """
    check_convolution(images, kernel, parity="odd")
    return (_convolve_pixels if len(kernel) == 1 else _convolve)(images, kernel)


def _same(
    images: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"]
) -> Float[Array, "b h w o"]:
    size = len(kernel)
    contributions = product(_gather(images, size, _COLUMNS), _as_matrix(kernel))
    return _add(contributions, size, _ROWS).astype(images.dtype)


def _image_gradient(images: Array, kernel: Array, cotangent: Array) -> Array:
    size = len(kernel)
    contributions = product(_gather(cotangent, size, _ROWS), _as_matrix(kernel).T)
    return _add(contributions, size, _COLUMNS).astype(images.dtype)


def _kernel_gradient(images: Array, kernel: Array, cotangent: Array) -> Array:
    size = len(kernel)
    inputs, outputs = _gather(images, size, _COLUMNS), _gather(cotangent, size, _ROWS)
    # Flat, because a contraction over three axes takes twice as long.
    matrix = product(flat(inputs).T, flat(outputs))
    return _as_kernel(matrix, size).astype(kernel.dtype)


def _direct(images: Array, kernel: Array) -> Array:
    return convolve_directly(images, kernel, margin=len(kernel) // 2)


def _direct_image_gradient(images: Array, kernel: Array, cotangent: Array) -> Array:
    del images
    return _direct(cotangent, transposed(kernel))


def _direct_kernel_gradient(images: Array, kernel: Array, cotangent: Array) -> Array:
    return sum_of_gradients(_kernel_gradient, images, kernel, cotangent)


def _native(images: Array, kernel: Array) -> Array:
    return native_convolution(images, kernel, margin=len(kernel) // 2)


_PRODUCTS = Way(_same, _image_gradient, _kernel_gradient)
_DIRECT = Way(_direct, _direct_image_gradient, _direct_kernel_gradient)
_NATIVE = differentiated(_native)
_convolve = convolution(direct=_DIRECT, products=_PRODUCTS, native=_NATIVE)
# A convolution of single pixels is a product.
_convolve_pixels = convolution(direct=_PRODUCTS, products=_PRODUCTS, native=_NATIVE)


def _gather(images: Float[Array, "b h w c"], size: int, axis: int) -> Float[Array, "b h w size*c"]:
    """Gather, beside every pixel, the `size` pixels around it along one axis, first to last."""
    padded = _pad(images, size // 2, axis)
    length = images.shape[axis]
    windows = [lax.slice_in_dim(padded, at, at + length, axis=axis) for at in range(size)]
    return jnp.concatenate(windows, axis=-1)


def _add(parts: Float[Array, "b h w size*c"], size: int, axis: int) -> Float[Array, "b h w c"]:
    """The adjoint of `_gather`: every part added to the pixel that it was gathered from."""
    padded = _pad(parts, size // 2, axis)
    length, channels = parts.shape[axis], parts.shape[-1] // size
    shifted = [
        lax.slice_in_dim(padded, size - 1 - at, size - 1 - at + length, axis=axis)[
            ..., at * channels : (at + 1) * channels
        ]
        for at in range(size)
    ]
    return sum(shifted[1:], start=shifted[0])


def _as_matrix(kernel: Float[Array, "k k c o"]) -> Float[Array, "k*c k*o"]:
    """The kernel as a matrix from the gathered columns to the rows to be added.

    The rows are in reverse: the first of the kernel is for the pixel above, to which
    the product reaches from below.
    """
    size, _, inputs, outputs = kernel.shape
    return kernel[::-1].transpose(1, 2, 0, 3).reshape(size * inputs, size * outputs)


def _as_kernel(matrix: Float[Array, "k*c k*o"], size: int) -> Float[Array, "k k c o"]:
    """The inverse of `_as_matrix`."""
    inputs, outputs = (extent // size for extent in matrix.shape)
    return matrix.reshape(size, inputs, size, outputs).transpose(2, 0, 1, 3)[::-1]


def _pad(images: Float[Array, "b h w c"], margin: int, axis: int) -> Array:
    widths = [(0, 0)] * images.ndim
    widths[axis] = (margin, margin)
    return jnp.pad(images, widths)
