"""Functions of all convolutions: as matrix products or native, by platform, and refusals.

On CPU a product is many times faster than XLA's convolution (`strided_convolution` says why). On an
NVIDIA H100 it is faster too: a step of `compact_vae` took 3.8 times as long with the one of cuDNN,
and one of the convolutional network of the bottleneck paper 1.7 times. For a TPU, by its compiler's
account, the native one moves a quarter of the bytes. Which of the two a program holds is decided
when it is compiled, by the platform it is for.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from jaxvae.platforms import as_products_or_native
from jaxvae.typing import Array

Arguments = tuple[Array, Array]
Convolve = Callable[[Array, Array], Array]
Gradients = Callable[[Array, Array, Array], Arguments]


def product(rows: Float[Array, "*n i"], weights: Float[Array, "i o"]) -> Float[Array, "*n o"]:
    """Matrix product of the dtype of the rows, left in its accumulator of at least float32."""
    accumulator = jnp.promote_types(rows.dtype, jnp.float32)
    return jnp.matmul(rows, weights.astype(rows.dtype), preferred_element_type=accumulator)


def flat(images: Float[Array, "b h w c"]) -> Float[Array, "b*h*w c"]:
    """A row for every pixel."""
    return images.reshape(-1, images.shape[-1])


def convolution(
    products: Convolve, native: Convolve, gradients: Gradients | None = None
) -> Convolve:
    """A convolution whose program is that of the platform that it is compiled for.

    Differentiable in reverse mode, to any order; forward mode raises a TypeError.

    Args:
        products: the convolution of images and kernel as matrix products, for CPU and CUDA.
        native: the same by XLA's own operation, for all other platforms.
        gradients: `gradients(images, kernel, cotangent)`, the gradients by images and kernel as
            products; None for automatic differentiation.
    """

    @jax.custom_vjp
    def convolve(images: Array, kernel: Array) -> Array:
        return as_products_or_native(products, native, images, kernel)

    def forward(images: Array, kernel: Array) -> tuple[Array, Arguments]:
        # What a product is made from is as large as the images or larger: as cheap to form
        # again as to keep.
        return convolve(images, kernel), (images, kernel)

    def backward(residuals: Arguments, cotangent: Array) -> Arguments:
        own = gradients or partial(_gradients, products)
        return as_products_or_native(own, partial(_gradients, native), *residuals, cotangent)

    convolve.defvjp(forward, backward)
    return convolve


def _gradients(convolve: Convolve, images: Array, kernel: Array, cotangent: Array) -> Arguments:
    image_gradient, kernel_gradient = jax.vjp(convolve, images, kernel)[1](cotangent)
    return image_gradient, kernel_gradient


def native_convolution(
    images: Float[Array, "b h w c"],
    kernel: Float[Array, "k k c o"],
    *,
    margin: int,
    stride: int = 1,
    spread: int = 1,
) -> Float[Array, "b h2 w2 o"]:
    """XLA's convolution, of the dtype of the images, summed in at least float32.

    Args:
        images: batch of images.
        kernel: weights.
        margin: zeros around the images.
        stride: pixels from one result to the next.
        spread: pixels of the images become so many, of which all but the first are zero.
    """
    output = lax.conv_general_dilated(
        images,
        kernel.astype(images.dtype),
        (stride, stride),
        [(margin, margin)] * 2,
        lhs_dilation=(spread, spread),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        preferred_element_type=jnp.promote_types(images.dtype, jnp.float32),
    )
    return output.astype(images.dtype)


def check_convolution(
    images: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"], *, parity: str = ""
) -> None:
    """Refuse what cannot be convolved.

    Args:
        images: to be convolved.
        kernel: weights.
        parity: `even` or `odd`, of the kernel's height and width; either by default.

    Raises:
        ValueError: for another size of kernel, a wrong rank, channels that differ, or a
            dtype that is not floating-point.
    """
    if images.ndim != 4:
        raise ValueError(f"expected images [b, h, w, c], got shape {images.shape}")
    square = kernel.ndim == 4 and kernel.shape[0] == kernel.shape[1]
    if not square or parity not in ("", ("even", "odd")[kernel.shape[0] % 2]):
        wanted = f" with k {parity}" if parity else ""
        raise ValueError(f"expected a kernel [k, k, in, out]{wanted}, got shape {kernel.shape}")
    if kernel.shape[2] != images.shape[3]:
        raise ValueError(f"expected {kernel.shape[2]} channels, got images {images.shape}")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"expected floating-point images, got {images.dtype}")
