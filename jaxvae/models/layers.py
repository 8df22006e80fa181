"""Stride-2 convolutions as matrix products, fast alone, inside `scan` and under `vmap`.

On CPU, XLA runs a training step of strided convolutions 4 to 15 times slower than one
matrix product over image patches, 29 times or more inside a loop, and 2 to 3 times
under `vmap` (`python -m benchmarks.convolutions`). Both directions are written here as
that product. Each is the adjoint of the other with the kernel transposed, which gives
the gradients: the automatic ones make a step 1.6 times as long.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Float

from jaxvae.typing import Array


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
    _check(images, kernel)
    if images.shape[1] % 2 or images.shape[2] % 2:
        raise ValueError(f"expected an even height and width, got images {images.shape}")
    return _down(images, kernel)


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
    _check(images, kernel)
    return _up(images, kernel)


class DownConvolution(nn.Module):
    """`convolve_down` plus a bias, with the parameters of `flax.linen.Conv`.

    Attributes:
        features: number of output channels.
        kernel_size: height and width of the kernel, even.
        kernel_init: initializer of the kernel; the bias starts at zero.
    """

    features: int
    kernel_size: int = 4
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b h/2 w/2 o"]:
        """Halve the height and width of the images."""
        shape = (self.kernel_size, self.kernel_size, images.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return _add_bias(convolve_down(images, kernel), bias)


class UpConvolution(nn.Module):
    """`convolve_up` plus a bias, with the parameters of `flax.linen.ConvTranspose`.

    Attributes:
        features: number of output channels.
        kernel_size: height and width of the kernel, even.
        kernel_init: initializer of the kernel; the bias starts at zero.
    """

    features: int
    kernel_size: int = 4
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b 2h 2w o"]:
        """Double the height and width of the images."""
        shape = (self.kernel_size, self.kernel_size, images.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return _add_bias(convolve_up(images, kernel), bias)


@jax.custom_vjp
def _down(
    images: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"]
) -> Float[Array, "b h/2 w/2 o"]:
    return _product(_patches(images, kernel.shape[0]), kernel.reshape(-1, kernel.shape[3]))


@jax.custom_vjp
def _up(
    images: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"]
) -> Float[Array, "b 2h 2w o"]:
    size = kernel.shape[0]
    # Blocks of 2 x 2 outputs that straddle the pixels: all four see the same inputs.
    blocks = _product(_neighborhoods(images, size // 2), _block_weights(kernel))
    outputs = _depth_to_space(blocks)
    margin = size // 2 - 1
    return outputs[:, margin : outputs.shape[1] - margin, margin : outputs.shape[2] - margin]


def _keep_arguments_down(images: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    # The patches are k * k / 4 times the images: cheaper to form again than to keep.
    return _down(images, kernel), (images, kernel)


def _keep_arguments_up(images: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _up(images, kernel), (images, kernel)


def _down_gradients(kept: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    images, kernel = kept
    return _up(cotangent, _transpose(kernel)), _kernel_gradient(images, cotangent, kernel)


def _up_gradients(kept: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    images, kernel = kept
    transposed = _transpose(kernel)
    # <up(images), y> = <images, down(y)>: the same product, read from the other side.
    gradient = _kernel_gradient(cotangent, images, transposed)
    return _down(cotangent, transposed), _transpose(gradient)


_down.defvjp(_keep_arguments_down, _down_gradients)
_up.defvjp(_keep_arguments_up, _up_gradients)


def _kernel_gradient(
    images: Float[Array, "b h w c"],
    cotangent: Float[Array, "b h/2 w/2 o"],
    kernel: Float[Array, "k k c o"],
) -> Float[Array, "k k c o"]:
    """Gradient of `<_down(images, kernel), cotangent>` by the kernel, in its dtype."""
    patches = _patches(images, kernel.shape[0])
    everywhere = (0, 1, 2)
    gradient = lax.dot_general(
        patches,
        cotangent,
        ((everywhere, everywhere), ((), ())),
        preferred_element_type=_accumulator(images.dtype),
    )
    return gradient.reshape(kernel.shape).astype(kernel.dtype)


def _patches(images: Float[Array, "b h w c"], size: int) -> Float[Array, "b h/2 w/2 k*k*c"]:
    """The pixels under the kernel at every output, in the kernel's own order."""
    _, height, width, _ = images.shape
    padded = _pad(images, size // 2 - 1)
    return jnp.concatenate(
        [
            padded[:, row : row + height : 2, column : column + width : 2]
            for row in range(size)
            for column in range(size)
        ],
        axis=-1,
    )


def _neighborhoods(images: Float[Array, "b h w c"], size: int) -> Float[Array, "b h+m-1 w+m-1 mmc"]:
    """The `m x m` pixels, `m = size`, around every corner between pixels."""
    _, height, width, _ = images.shape
    padded = _pad(images, size - 1)
    return jnp.concatenate(
        [
            padded[:, row : row + height + size - 1, column : column + width + size - 1]
            for row in range(size)
            for column in range(size)
        ],
        axis=-1,
    )


def _block_weights(kernel: Float[Array, "k k c o"]) -> Float[Array, "k/2*k/2*c 4*o"]:
    """The kernel as a matrix from a neighborhood to its 2 x 2 block of outputs.

    The first output of a block meets the odd taps of the kernel, the second the even
    ones, because the zeros between the spread-out pixels hide the others.
    """
    size, _, inputs, outputs = kernel.shape
    half = size // 2
    taps = kernel.reshape(half, 2, half, 2, inputs, outputs)[:, ::-1, :, ::-1]
    return taps.transpose(0, 2, 4, 1, 3, 5).reshape(half * half * inputs, 4 * outputs)


def _depth_to_space(blocks: Float[Array, "b h w 4*c"]) -> Float[Array, "b 2h 2w c"]:
    batch, height, width, depth = blocks.shape
    split = blocks.reshape(batch, height, width, 2, 2, depth // 4)
    return split.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, depth // 4)


def _transpose(kernel: Float[Array, "k k c o"]) -> Float[Array, "k k o c"]:
    """The kernel of the adjoint: rotated by 180 degrees, with channels swapped."""
    return kernel[::-1, ::-1].swapaxes(2, 3)


def _product(
    rows: Float[Array, "b h w i"], weights: Float[Array, "i o"]
) -> Float[Array, "b h w o"]:
    """Matrix product in the dtype of the rows, accumulated in at least float32."""
    product = jnp.matmul(
        rows, weights.astype(rows.dtype), preferred_element_type=_accumulator(rows.dtype)
    )
    return product.astype(rows.dtype)


def _accumulator(dtype: jnp.dtype) -> jnp.dtype:
    return jnp.promote_types(dtype, jnp.float32)


def _pad(images: Float[Array, "b h w c"], margin: int) -> Float[Array, "b h+2m w+2m c"]:
    return jnp.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)))


def _add_bias(images: Float[Array, "b h w o"], bias: Float[Array, " o"]) -> Float[Array, "b h w o"]:
    # Explicit, because rank promotion may be set to raise.
    return images + bias.astype(images.dtype)[None, None, None, :]


def _check(images: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"]) -> None:
    if images.ndim != 4:
        raise ValueError(f"expected images [b, h, w, c], got shape {images.shape}")
    if kernel.ndim != 4 or kernel.shape[0] != kernel.shape[1] or kernel.shape[0] % 2:
        raise ValueError(f"expected a kernel [k, k, in, out] with k even, got shape {kernel.shape}")
    if kernel.shape[2] != images.shape[3]:
        raise ValueError(f"expected {kernel.shape[2]} channels, got images {images.shape}")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"expected floating-point images, got {images.dtype}")
