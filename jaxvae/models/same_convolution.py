"""Stride-1 convolutions as matrix products, fast alone, inside `scan` and under `vmap`.

Like the stride-2 ones of `layers`, whose docstring says why, but with half of the
window gathered before the product and half of it added up after: along the columns
every pixel is set beside its `k` neighbors, one product gives what they mean to each
of `k` rows, and the rows are shifted and summed. Both sides of the product are then
`k` times the image where all patches are `k * k` times: with a product this small,
moving memory is most of the time. Gathering and adding are each other's adjoints,
so the gradients are the same three steps with rows and columns exchanged.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Float

from jaxvae.typing import Array

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
    _check(images, kernel)
    return _same(images, kernel)


class SameConvolution(nn.Module):
    """`convolve_same` plus a bias, with the parameters of `flax.linen.Conv`.

    Attributes:
        features: number of output channels.
        kernel_size: height and width of the kernel, odd.
        kernel_init: initializer of the kernel; the bias starts at zero.
    """

    features: int
    kernel_size: int = 3
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b h w o"]:
        """Give every pixel a weighted sum of the pixels around it."""
        shape = (self.kernel_size, self.kernel_size, images.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        # Explicit axes, because rank promotion may be set to raise.
        return convolve_same(images, kernel) + bias.astype(images.dtype)[None, None, None, :]


@jax.custom_vjp
def _same(
    images: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"]
) -> Float[Array, "b h w o"]:
    size = len(kernel)
    contributions = _product(_gather(images, size, _COLUMNS), _as_matrix(kernel))
    return _add(contributions, size, _ROWS).astype(images.dtype)


def _keep_arguments(images: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    # The windows are k times the images: as cheap to form again as to keep.
    return _same(images, kernel), (images, kernel)


def _gradients(kept: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    images, kernel = kept
    size = len(kernel)
    inputs, outputs = _gather(images, size, _COLUMNS), _gather(cotangent, size, _ROWS)
    contributions = _product(outputs, _as_matrix(kernel).T)
    # Flat, because a contraction over three axes takes twice as long.
    matrix = _product(_flat(inputs).T, _flat(outputs))
    image_gradient = _add(contributions, size, _COLUMNS).astype(images.dtype)
    return image_gradient, _as_kernel(matrix, size).astype(kernel.dtype)


_same.defvjp(_keep_arguments, _gradients)


def _gather(images: Float[Array, "b h w c"], size: int, axis: int) -> Float[Array, "b h w size*c"]:
    """Beside every pixel the `size` pixels around it along one axis, first to last."""
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
    """From the gathered columns to the rows to be added.

    The rows are in reverse: the first of the kernel is for the pixel above, to which
    the product reaches from below.
    """
    size, _, inputs, outputs = kernel.shape
    return kernel[::-1].transpose(1, 2, 0, 3).reshape(size * inputs, size * outputs)


def _as_kernel(matrix: Float[Array, "k*c k*o"], size: int) -> Float[Array, "k k c o"]:
    """The inverse of `_as_matrix`."""
    inputs, outputs = (extent // size for extent in matrix.shape)
    return matrix.reshape(size, inputs, size, outputs).transpose(2, 0, 1, 3)[::-1]


def _product(rows: Float[Array, "*n i"], weights: Float[Array, "i o"]) -> Float[Array, "*n o"]:
    """Matrix product of the dtype of the rows, left in its accumulator of at least float32."""
    accumulator = jnp.promote_types(rows.dtype, jnp.float32)
    return jnp.matmul(rows, weights.astype(rows.dtype), preferred_element_type=accumulator)


def _flat(images: Float[Array, "b h w c"]) -> Float[Array, "b*h*w c"]:
    return images.reshape(-1, images.shape[-1])


def _pad(images: Float[Array, "b h w c"], margin: int, axis: int) -> Array:
    widths = [(0, 0)] * images.ndim
    widths[axis] = (margin, margin)
    return jnp.pad(images, widths)


def _check(images: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"]) -> None:
    if images.ndim != 4:
        raise ValueError(f"expected images [b, h, w, c], got shape {images.shape}")
    if kernel.ndim != 4 or kernel.shape[0] != kernel.shape[1] or kernel.shape[0] % 2 == 0:
        raise ValueError(f"expected a kernel [k, k, in, out] with k odd, got shape {kernel.shape}")
    if kernel.shape[2] != images.shape[3]:
        raise ValueError(f"expected {kernel.shape[2]} channels, got images {images.shape}")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"expected floating-point images, got {images.dtype}")
