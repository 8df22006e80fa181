"""Stride-2 convolutions: on CPU direct, on CUDA as matrix products.

On CPU, XLA runs a training step of strided convolutions 4 to 15 times slower than with the
gradients that are written here, 29 times or more inside a loop (`python -m
benchmarks.convolutions`). There the transposed convolution is one of stride 1 that gives a block
of 2 x 2 results for every 2 x 2 pixels; where results have few channels, a product whose parts are
shifted and added takes less.

As products, moving memory is most of the time, so where images are large a convolution is a
product with every 2 x 2 block of pixels, whose `k * k / 4` results are shifted and added: half or
a third of the memory of patches, but blocks that stick out over the edges, which small images
cannot afford. The transposed convolution is the adjoint, which also gives the gradients of both.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.models.direct_convolution import convolve_directly, sum_of_gradients, transposed
from jaxvae.models.products import (
    Way,
    check_convolution,
    convolution,
    differentiated,
    flat,
    native_convolution,
    patches,
    product,
)


def convolve_down(
    images: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"]
) -> Float[Array, "b h/2 w/2 o"]:
    """Convolution of stride 2, which halves the height and width.

    `out[i, j] = sum_st images[2i + s - p, 2j + t - p] @ kernel[s, t]` with
    `p = (k - 2) / 2` and zeros outside the image: the numbers, kernel layout and
    gradients of `flax.linen.Conv` with `strides=(2, 2)` and `padding=p`.

    The result has the dtype of the images; sums are accumulated in at least
    float32. Differentiable in reverse mode, to any order; forward mode
    (`jvp`, `jacfwd`, `hessian`) raises a TypeError.

    Args:
        images: batch of images with even height and width.
        kernel: weights, `k` even.

    Raises:
        ValueError: an odd height, width or kernel size, a wrong rank, channels that
            differ, or a dtype that is not floating-point.
    """
    check_convolution(images, kernel, parity="even")
    if images.shape[1] % 2 or images.shape[2] % 2:
        raise ValueError(f"expected an even height and width, got images {images.shape}")
    return _convolve_down(images, kernel)


def convolve_up(
    images: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"]
) -> Float[Array, "b 2h 2w o"]:
    """Transposed convolution of stride 2, which doubles the height and width.

    The images are spread out with a zero after every row and column, then
    correlated with the kernel: the numbers, kernel layout and gradients of
    `flax.linen.ConvTranspose` with `strides=(2, 2)` and `padding="SAME"`. It is the
    adjoint of `convolve_down` with the kernel rotated by 180 degrees in space and its
    channel axes swapped.

    The result has the dtype of the images; sums are accumulated in at least
    float32. Differentiable in reverse mode, to any order; forward mode
    (`jvp`, `jacfwd`, `hessian`) raises a TypeError.

    Args:
        images: batch of images of any height and width.
        kernel: weights, `k` even.

    Raises:
        ValueError: an odd kernel size, a wrong rank, channels that differ, or a dtype
            that is not floating-point.
    """
    check_convolution(images, kernel, parity="even")
    return _convolve_up(images, kernel)


def _down(
    images: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"]
) -> Float[Array, "b h/2 w/2 o"]:
    size, _, inputs, outputs = kernel.shape
    if _is_cheaper_by_patches(images, kernel):
        result = product(_patches(images, size), kernel.reshape(-1, outputs))
    else:
        matrix = _as_blocks(kernel).transpose(2, 0, 1, 3).reshape(4 * inputs, -1)
        result = _add_shifted(product(_space_to_depth(images, size // 2 - 1), matrix), size // 2)
    return result.astype(images.dtype)


def _up(
    images: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"]
) -> Float[Array, "b 2h 2w o"]:
    size, _, inputs, outputs = kernel.shape
    weights = _as_blocks(transposed(kernel))
    if _is_cheaper_by_parts(images, kernel):
        parts = product(images, weights.transpose(3, 0, 1, 2).reshape(inputs, -1))
        blocks = _spread_and_add(parts, size // 2)
    else:
        matrix = weights.swapaxes(2, 3).reshape(-1, 4 * outputs)
        blocks = product(_all_shifts(images, size // 2), matrix)
    return _depth_to_space(blocks.astype(images.dtype), size // 2 - 1)


def _down_image_gradient(images: Array, kernel: Array, cotangent: Array) -> Array:
    del images
    return _convolve_up(cotangent, transposed(kernel))


def _up_image_gradient(images: Array, kernel: Array, cotangent: Array) -> Array:
    del images
    return _convolve_down(cotangent, transposed(kernel))


def _up_kernel_gradient(images: Array, kernel: Array, cotangent: Array) -> Array:
    # <up(images), y> = <images, down(y)>: the same product, read from the other side.
    return transposed(_kernel_gradient(cotangent, transposed(kernel), images))


def _direct_down(images: Array, kernel: Array) -> Array:
    return convolve_directly(images, kernel, margin=len(kernel) // 2 - 1, stride=2)


def _direct_up(images: Array, kernel: Array) -> Array:
    if _is_cheaper_by_parts(images, kernel):
        return _up(images, kernel)
    half = len(kernel) // 2
    # Weights of a block of 2 x 2 results, for each of the pixels around it.
    weights = _as_blocks(transposed(kernel))[::-1, ::-1].swapaxes(2, 3)
    return _depth_to_space(convolve_directly(images, weights, margin=half - 1), half - 1)


def _direct_down_kernel_gradient(images: Array, kernel: Array, cotangent: Array) -> Array:
    return sum_of_gradients(_gathered_gradient, images, kernel, cotangent)


def _direct_up_kernel_gradient(images: Array, kernel: Array, cotangent: Array) -> Array:
    return transposed(_direct_down_kernel_gradient(cotangent, transposed(kernel), images))


def _native_down(images: Array, kernel: Array) -> Array:
    return native_convolution(images, kernel, margin=len(kernel) // 2 - 1, stride=2)


def _native_up(images: Array, kernel: Array) -> Array:
    return native_convolution(images, kernel, margin=len(kernel) // 2, spread=2)


def _kernel_gradient(
    images: Float[Array, "b h w c"],
    kernel: Float[Array, "k k c o"],
    cotangent: Float[Array, "b h/2 w/2 o"],
) -> Float[Array, "k k c o"]:
    """Gradient of `<_down(images, kernel), cotangent>` by the kernel, in its dtype."""
    size, _, inputs, outputs = kernel.shape
    half = size // 2
    # Patches are slow to contract over: only where they are few, or blocks are twice the pixels.
    # Flat, because a contraction over three axes takes twice as long.
    if 4 * inputs <= outputs or min(cotangent.shape[1:3]) <= 2:
        gradient = product(flat(_patches(images, size)).T, flat(cotangent)).reshape(kernel.shape)
    else:
        blocks, shifts = _space_to_depth(images, half - 1), _all_shifts(cotangent, half)
        matrix = product(flat(blocks).T, flat(shifts)).reshape(4 * inputs, half, half, outputs)
        gradient = _as_kernel(matrix.transpose(1, 2, 0, 3))
    return gradient.astype(kernel.dtype)


def _gathered_gradient(
    images: Float[Array, "b h w c"],
    kernel: Float[Array, "k k c o"],
    cotangent: Float[Array, "b h/2 w/2 o"],
) -> Float[Array, "k k c o"]:
    """The gradient of `_kernel_gradient`, from patches or a product for every row of the kernel.

    In a core's cache all that is left of the costs is the product, which few channels make small.
    """
    size, _, inputs, outputs = kernel.shape
    turned = flat(cotangent).T
    if 4 * inputs <= outputs:
        gradient = product(turned, flat(_patches(images, size))).T.reshape(kernel.shape)
    else:
        height, columns = cotangent.shape[1], _columns(images, size)
        rows = [
            product(turned, flat(columns[:, row // 2 : row // 2 + height, row % 2]))
            for row in range(size)
        ]
        gradient = jnp.stack(rows).reshape(size, outputs, size, inputs).transpose(0, 2, 3, 1)
    return gradient.astype(kernel.dtype)


_convolve_down = convolution(
    direct=Way(_direct_down, _down_image_gradient, _direct_down_kernel_gradient),
    products=Way(_down, _down_image_gradient, _kernel_gradient),
    native=differentiated(_native_down),
)
_convolve_up = convolution(
    direct=Way(_direct_up, _up_image_gradient, _direct_up_kernel_gradient),
    products=Way(_up, _up_image_gradient, _up_kernel_gradient),
    native=differentiated(_native_up),
)


# Multiplications that take as long as to write and read a number, about.
_MOVE = 32


def _is_cheaper_by_patches(
    images: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"]
) -> bool:
    """Whether one product over patches costs less than a result for every block and offset."""
    size, _, inputs, outputs = kernel.shape
    height, width, half = images.shape[1] // 2, images.shape[2] // 2, size // 2
    blocks = (height + half - 1) * (width + half - 1)
    by_patches = _cost(height * width, kernel, moved=size**2 * inputs)
    return by_patches <= _cost(blocks, kernel, moved=4 * inputs + half**2 * outputs)


def _is_cheaper_by_parts(images: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"]) -> bool:
    """Whether a result for every pixel and offset costs less than one from all the neighbors."""
    size, _, inputs, outputs = kernel.shape
    _, height, width, _ = images.shape
    half = size // 2
    blocks = (height + half - 1) * (width + half - 1)
    parts = _cost(height * width, kernel, moved=inputs + size**2 * outputs)
    return parts <= _cost(blocks, kernel, moved=half**2 * inputs + 4 * outputs)


def _cost(pixels: int, kernel: Float[Array, "k k c o"], *, moved: int) -> int:
    """The multiplications of a product with the whole kernel at so many places."""
    return pixels * (kernel.size + _MOVE * moved)


def _patches(images: Float[Array, "b h w c"], size: int) -> Float[Array, "b h/2 w/2 k*k*c"]:
    """The pixels under the kernel at every output, in the kernel's own order."""
    margin = size // 2 - 1
    padded = jnp.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    return patches(padded, size, stride=2)


def _columns(images: Float[Array, "b h w c"], size: int) -> Float[Array, "b h/2+m 2 w/2 k*c"]:
    """The columns under the kernel at every output, in pairs of rows; `m = k / 2 - 1`."""
    batch, height, width, channels = images.shape
    margin = size // 2 - 1
    padded = jnp.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    pairs = padded.reshape(batch, height // 2 + margin, 2, width // 2 + margin, 2 * channels)
    return jnp.concatenate(
        [pairs[:, :, :, at : at + width // 2] for at in range(size // 2)], axis=-1
    )


def _space_to_depth(
    images: Float[Array, "b h w c"], margin: int
) -> Float[Array, "b h/2+margin w/2+margin 4*c"]:
    """The blocks of 2 x 2 pixels, after so many zeros were put around the image."""
    padded = jnp.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    batch, height, width, channels = padded.shape
    split = padded.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return split.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // 2, width // 2, 4 * channels)


def _depth_to_space(
    blocks: Float[Array, "b h w 4*c"], margin: int
) -> Float[Array, "b 2*h-2*margin 2*w-2*margin c"]:
    """The adjoint of `_space_to_depth`."""
    batch, height, width, depth = blocks.shape
    split = blocks.reshape(batch, height, width, 2, 2, depth // 4).transpose(0, 1, 3, 2, 4, 5)
    padded = split.reshape(batch, 2 * height, 2 * width, depth // 4)
    return padded[:, margin : 2 * height - margin, margin : 2 * width - margin]


def _add_shifted(parts: Float[Array, "b h+m-1 w+m-1 m*m*o"], half: int) -> Float[Array, "b h w o"]:
    """The sum of the `m * m` parts, `m = half`, each moved up and left by its own offset."""
    _, height, width, depth = parts.shape
    height, width, outputs = height - half + 1, width - half + 1, depth // half**2
    shifted = [
        parts[:, row : row + height, column : column + width, start : start + outputs]
        for row, column, start in _offsets(half, outputs)
    ]
    return sum(shifted[1:], start=shifted[0])


def _spread_and_add(
    parts: Float[Array, "b h w m*m*o"], half: int
) -> Float[Array, "b h+m-1 w+m-1 o"]:
    """The adjoint of a copy for every offset: each part moved down and right, then added."""
    outputs = parts.shape[-1] // half**2
    shifted = [
        _move(parts[..., start : start + outputs], row, column, half)
        for row, column, start in _offsets(half, outputs)
    ]
    return sum(shifted[1:], start=shifted[0])


def _all_shifts(images: Float[Array, "b h w o"], half: int) -> Float[Array, "b h+m-1 w+m-1 m*m*o"]:
    """The adjoint of `_add_shifted`: the images at each of the `m * m` offsets."""
    moved = [_move(images, row, column, half) for row, column, _ in _offsets(half, 0)]
    return jnp.concatenate(moved, axis=-1)


def _offsets(half: int, outputs: int) -> list[tuple[int, int, int]]:
    """Rows, columns, and the first channel of their part."""
    return [
        (row, column, (row * half + column) * outputs)
        for row in range(half)
        for column in range(half)
    ]


def _move(
    images: Float[Array, "b h w o"], row: int, column: int, half: int
) -> Float[Array, "b h+m-1 w+m-1 o"]:
    rows, columns = (row, half - 1 - row), (column, half - 1 - column)
    return jnp.pad(images, ((0, 0), rows, columns, (0, 0)))


def _as_blocks(kernel: Float[Array, "k k c o"]) -> Float[Array, "m m 4*c o"]:
    """The weights of a 2 x 2 block of pixels, `m = k / 2`, for each of the offsets."""
    size, _, inputs, outputs = kernel.shape
    half = size // 2
    split = kernel.reshape(half, 2, half, 2, inputs, outputs).transpose(0, 2, 1, 3, 4, 5)
    return split.reshape(half, half, 4 * inputs, outputs)


def _as_kernel(blocks: Float[Array, "m m 4*c o"]) -> Float[Array, "k k c o"]:
    """The inverse of `_as_blocks`."""
    half, _, depth, outputs = blocks.shape
    split = blocks.reshape(half, half, 2, 2, depth // 4, outputs).transpose(0, 2, 1, 3, 4, 5)
    return split.reshape(2 * half, 2 * half, depth // 4, outputs)
