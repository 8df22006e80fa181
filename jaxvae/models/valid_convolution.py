"""Stride-1 convolutions that shrink or grow an image, as matrix products on CPU and CUDA.

For small images, such as 7 x 7 to 4 x 4: there `k * k` patches are few, and around such images
a direct convolution would multiply mostly zeros.
"""

from functools import partial

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.models.products import (
    check_convolution,
    convolution,
    differentiated,
    flat,
    native_convolution,
    patches,
    product,
)


def convolve_valid(
    images: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"]
) -> Float[Array, "b h-k+1 w-k+1 o"]:
    """Convolution of stride 1 where the kernel lies inside the image.

    `out[i, j] = sum_st images[i + s, j + t] @ kernel[s, t]`: the numbers, kernel layout and
    gradients of `flax.linen.Conv` with `padding="VALID"`. The result has the dtype of the
    images; sums are accumulated in at least float32.

    Args:
        images: batch of images, at least as large as the kernel.
        kernel: weights.

    Raises:
        ValueError: a wrong rank, channels that differ, images smaller than the kernel, or
            a dtype that is not floating-point.
    """
    check_convolution(images, kernel)
    size = len(kernel)
    height, width = (side - size + 1 for side in images.shape[1:3])
    if min(height, width) < 1:
        raise ValueError(f"expected images of at least {size} x {size}, got {images.shape}")
    return _convolve_valid(images, kernel)


def _valid(images: Array, kernel: Array) -> Array:
    under = patches(images, len(kernel))
    values = product(flat(under), kernel.reshape(-1, kernel.shape[-1]))
    return values.reshape(*under.shape[:3], -1).astype(images.dtype)


def convolve_full(
    images: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"]
) -> Float[Array, "b h+k-1 w+k-1 o"]:
    """Convolution of stride 1 wherever the kernel touches the image.

    `out[i, j] = sum_st images[i + s - k + 1, j + t - k + 1] @ kernel[s, t]`, with zeros
    outside the image: the numbers, kernel layout and gradients of
    `flax.linen.ConvTranspose` with `padding="VALID"`. The result has the dtype of the
    images; sums are accumulated in at least float32.

    Args:
        images: batch of images of any height and width.
        kernel: weights.

    Raises:
        ValueError: a wrong rank, channels that differ, or a dtype that is not
            floating-point.
    """
    check_convolution(images, kernel)
    return _convolve_full(images, kernel)


def _full(images: Array, kernel: Array) -> Array:
    batch, height, width, inputs = images.shape
    size, outputs = len(kernel), kernel.shape[-1]
    matrix = kernel.transpose(2, 0, 1, 3).reshape(inputs, -1)
    parts = product(flat(images), matrix).reshape(batch, height, width, size, size, outputs)
    # An edge of the kernel reaches as far as the other is away.
    placed = [
        jnp.pad(
            parts[:, :, :, row, column],
            ((0, 0), (size - 1 - row, row), (size - 1 - column, column), (0, 0)),
        )
        for row in range(size)
        for column in range(size)
    ]
    return sum(placed[1:], start=placed[0]).astype(images.dtype)


def _native_full(images: Array, kernel: Array) -> Array:
    return native_convolution(images, kernel, margin=len(kernel) - 1)


_VALID, _FULL = differentiated(_valid), differentiated(_full)
_NATIVE_VALID = differentiated(partial(native_convolution, margin=0))
_convolve_valid = convolution(direct=_VALID, products=_VALID, native=_NATIVE_VALID)
_convolve_full = convolution(direct=_FULL, products=_FULL, native=differentiated(_native_full))
