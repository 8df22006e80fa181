"""Convolutions on CPU: XLA's own, in the one form that is as fast there as a matrix product.

Images are `[b, h, w, c]`, kernels `[k, k, c, o]`, and nothing is spread out with zeros. What
automatic differentiation makes of a gradient is not of that form, and takes up to 40 times as
long. So the gradient by the images is written as such a convolution, with the transposed kernel.
That by the kernel is a sum of matrix products, each of so few images that what is gathered for
it stays in a core's cache. Several kernels at once (`vmap`) are not of that form either, and are
taken one after another.
"""

import math
from functools import partial

import jax.numpy as jnp
from jax import lax
from jax.custom_batching import sequential_vmap
from jaxtyping import Array, Float

from jaxvae.models.products import Gradient, native_convolution

# Numbers that a core keeps at hand: a megabyte.
_AT_HAND = 2**18


def convolve_directly(
    images: Float[Array, "b h w c"],
    kernel: Float[Array, "k k c o"],
    *,
    margin: int,
    stride: int = 1,
) -> Float[Array, "b h2 w2 o"]:
    """The native convolution of one kernel; under `vmap`, one after another.

    Args:
        images: batch of images.
        kernel: weights.
        margin: zeros around the images.
        stride: pixels from one result to the next.
    """
    return sequential_vmap(partial(native_convolution, margin=margin, stride=stride))(
        images, kernel
    )


def sum_of_gradients(
    kernel_gradient: Gradient,
    images: Float[Array, "b h w c"],
    kernel: Float[Array, "k k c o"],
    cotangent: Float[Array, "b h2 w2 o"],
) -> Float[Array, "k k c o"]:
    """A gradient by the kernel as the sum of those of a few images each.

    Args:
        kernel_gradient: that gradient, from at most `k` copies of images and cotangent.
        images: what the convolution was given.
        kernel: its weights, of which the shape and the dtype are taken.
        cotangent: of its result.
    """
    batch, copied = (
        len(images),
        len(kernel) * sum(math.prod(given.shape[1:]) for given in (images, cotangent)),
    )
    few = max(n for n in range(1, batch + 1) if batch % n == 0 and n <= max(1, _AT_HAND // copied))
    accumulator = jnp.promote_types(kernel.dtype, jnp.float32)
    weights = kernel.astype(accumulator)

    def add(step: Array, total: Array) -> Array:
        # Slices of the whole: what is given in another shape, XLA computes a second time.
        some, theirs = (
            lax.dynamic_slice_in_dim(whole, step * few, few) for whole in (images, cotangent)
        )
        return total + kernel_gradient(some, weights, theirs)

    total = lax.fori_loop(0, batch // few, add, jnp.zeros(kernel.shape, accumulator))
    return total.astype(kernel.dtype)


def transposed(kernel: Float[Array, "k k c o"]) -> Float[Array, "k k o c"]:
    """The kernel of the adjoint: rotated by 180 degrees, with channels swapped."""
    return kernel[::-1, ::-1].swapaxes(2, 3)
