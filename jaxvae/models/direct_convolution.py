"""XLA's convolution on CPU, in the one form that is as fast there as a matrix product.

Images are `[b, h, w, c]`, kernels `[k, k, c, o]`, and nothing is spread out with zeros. What
automatic differentiation makes of a gradient is not of that form, and takes up to 40 times as
long. So gradients are written as such convolutions here: that of the images with the
transposed kernel, that of the kernel with the images in the place of channels. Several kernels
at once (`vmap`) are not of that form either, and are taken one after another.
"""

from functools import partial

import jax.numpy as jnp
from jax import lax
from jax.custom_batching import sequential_vmap
from jaxtyping import Float

from jaxvae.models.products import native_convolution
from jaxvae.typing import Array


def convolve_directly(
    images: Float[Array, "b h w c"],
    kernel: Float[Array, "k k c o"],
    *,
    margin: int,
    stride: int = 1,
    gaps: int = 1,
) -> Float[Array, "b h2 w2 o"]:
    """The native convolution of one kernel; under `vmap`, one after another.

    Args:
        images: batch of images.
        kernel: weights.
        margin: zeros around the images.
        stride: pixels from one result to the next.
        gaps: pixels of the images from one weight to the next.
    """
    way = partial(native_convolution, margin=margin, stride=stride, gaps=gaps)
    return sequential_vmap(way)(images, kernel)


def kernel_gradient(
    images: Float[Array, "b h w c"],
    cotangent: Float[Array, "b h2 w2 o"],
    *,
    margin: int,
    stride: int = 1,
) -> Float[Array, "k k c o"]:
    """Gradient of `<convolve_directly(images, kernel), cotangent>` by the kernel, not rounded."""
    accumulator = jnp.promote_types(images.dtype, jnp.float32)
    # XLA would let the convolution read them where they lie, in a form that is not the fast one.
    turned = lax.optimization_barrier(
        (images.astype(accumulator).transpose(3, 1, 2, 0), cotangent.transpose(1, 2, 0, 3))
    )
    return convolve_directly(*turned, margin=margin, gaps=stride).transpose(1, 2, 0, 3)


def transposed(kernel: Float[Array, "k k c o"]) -> Float[Array, "k k o c"]:
    """The kernel of the adjoint: rotated by 180 degrees, with channels swapped."""
    return kernel[::-1, ::-1].swapaxes(2, 3)
