"""Functions of all convolutions: direct, as matrix products or native, by platform, and refusals.

On CPU XLA's convolution is as fast as a matrix product in one form, and many times slower in the
others that gradients have (`direct_convolution`). On an NVIDIA H100 products are faster: a step of
`compact_vae` took 3.8 times as long with the convolution of cuDNN, and one of the convolutional
network of the bottleneck paper 1.7 times. For a TPU, by its compiler's account, the native one
moves a quarter of the bytes. Which of them a program holds is decided when it is compiled, by the
platform it is for.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxvae.platforms import Convolutions, convolved_by_way

Arguments = tuple[Array, ...]
Convolve = Callable[[Array, Array], Array]
Gradient = Callable[[Array, Array, Array], Array]


def product(rows: Float[Array, "*n i"], weights: Float[Array, "i o"]) -> Float[Array, "*n o"]:
    """Matrix product of the dtype of the rows, left in its accumulator of at least float32."""
    accumulator = jnp.promote_types(rows.dtype, jnp.float32)
    return jnp.matmul(rows, weights.astype(rows.dtype), preferred_element_type=accumulator)


def flat(images: Float[Array, "b h w c"]) -> Float[Array, "b*h*w c"]:
    """A row for every pixel."""
    return images.reshape(-1, images.shape[-1])


def patches(
    images: Float[Array, "b h w c"], size: int, *, stride: int = 1
) -> Float[Array, "b h2 w2 k*k*c"]:
    """The pixels under a kernel wherever it lies inside the images, in the kernel's own order."""
    height, width = (side - size + 1 for side in images.shape[1:3])
    return jnp.concatenate(
        [
            images[:, row : row + height : stride, column : column + width : stride]
            for row in range(size)
            for column in range(size)
        ],
        axis=-1,
    )


class Way(NamedTuple):
    """A convolution of images and kernel, and its gradients for the cotangent of the result.

    Attributes:
        convolve: `(images, kernel)` to the result.
        image_gradient: `(images, kernel, cotangent)` to the gradient by the images, which
            depends on their shape alone.
        kernel_gradient: the same to the gradient by the kernel.
    """

    convolve: Convolve
    image_gradient: Gradient
    kernel_gradient: Gradient


def differentiated(convolve: Convolve) -> Way:
    """A convolution with the gradients of automatic differentiation."""

    def image_gradient(images: Array, kernel: Array, cotangent: Array) -> Array:
        return jax.vjp(lambda images: convolve(images, kernel), images)[1](cotangent)[0]

    def kernel_gradient(images: Array, kernel: Array, cotangent: Array) -> Array:
        return jax.vjp(lambda kernel: convolve(images, kernel), kernel)[1](cotangent)[0]

    return Way(convolve, image_gradient, kernel_gradient)


def convolution(*, direct: Way, products: Way, native: Way) -> Convolve:
    """A convolution whose program is that of the platform that it is compiled for.

    Differentiable in reverse mode, to any order; forward mode raises a TypeError. It and its
    gradients are linear in two things each, so that gradients of gradients are the same three.

    Args:
        direct: the convolution for CPU.
        products: the same as matrix products, for CUDA.
        native: the same by XLA's own operation, for all other platforms.
    """
    ways: dict[Convolutions, Way] = {"direct": direct, "products": products, "native": native}
    convolve, image_gradient, kernel_gradient = (
        jax.custom_vjp(partial(convolved_by_way, {kind: way[part] for kind, way in ways.items()}))
        for part in range(len(direct))
    )

    def of_convolve(given: Arguments, cotangent: Array) -> Arguments:
        return image_gradient(*given, cotangent), kernel_gradient(*given, cotangent)

    def of_image_gradient(given: Arguments, images: Array) -> Arguments:
        _, kernel, cotangent = given
        by_kernel = kernel_gradient(images, kernel, cotangent)
        return jnp.zeros_like(images), by_kernel, convolve(images, kernel)

    def of_kernel_gradient(given: Arguments, kernel: Array) -> Arguments:
        images, _, cotangent = given
        by_images = image_gradient(images, kernel, cotangent)
        return by_images, jnp.zeros_like(kernel), convolve(images, kernel)

    # What a product is made from is as large as the images or larger: as cheap to form
    # again as to keep.
    convolve.defvjp(partial(_with_arguments, convolve), of_convolve)
    image_gradient.defvjp(partial(_with_arguments, image_gradient), of_image_gradient)
    kernel_gradient.defvjp(partial(_with_arguments, kernel_gradient), of_kernel_gradient)
    return convolve


def _with_arguments(function: Any, *given: Array) -> tuple[Array, Arguments]:
    return function(*given), given


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
    found = lax.conv_general_dilated(
        images,
        kernel.astype(images.dtype),
        (stride, stride),
        [(margin, margin)] * 2,
        lhs_dilation=(spread, spread),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        preferred_element_type=jnp.promote_types(images.dtype, jnp.float32),
    )
    return found.astype(images.dtype)


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
