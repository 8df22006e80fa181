"""The parts of residual streams of images: bottleneck branches, and changes of size.

All branches of one kind keep their parameters in one array each. A network of dozens of
blocks then has dozens of arrays instead of a thousand: to draw them and to descend on them
is compiled once, and not once a block.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvae.models.same_convolution import convolve_same

Convolution = tuple[Float[Array, "k k c o"], Float[Array, " o"]]


class Branches(nn.Module):
    """Branches of convolutions 1 x 1, k x k, k x k and 1 x 1, each after a GELU.

    With fewer channels inside, He et al. (2016); in this form Child (2021).

    Attributes:
        sizes: k of every branch, odd.
        inputs: channels that a branch takes.
        inner: channels of all of its convolutions but the last.
        features: channels that it puts out.
        scale: variance of the last kernel at first, over that of `lecun_normal`.
        dtype: type of all convolutions but the last, which is computed in float32, since
            what branches give is summed over many, or subtracted in a rate.
        remat: whether a branch is computed again for its gradient instead of kept.
    """

    sizes: tuple[int, ...]
    inputs: int
    inner: int
    features: int
    scale: float = 1.0
    dtype: jnp.dtype = jnp.dtype("float32")
    remat: bool = False

    def setup(self) -> None:
        """Four convolutions for every branch."""
        count = len(self.sizes)
        enter = convolutions(self, "enter", count, (1, self.inputs, self.inner))
        middle = {
            size: iter(
                convolutions(self, f"middle_{size}", 2 * several, (size, self.inner, self.inner))
            )
            for size, several in Counter(self.sizes).items()
        }
        leave = convolutions(self, "leave", count, (1, self.inner, self.features), self.scale)
        self.branches = [
            (enter[index], next(middle[size]), next(middle[size]), leave[index])
            for index, size in enumerate(self.sizes)
        ]

    def __call__(self, index: int, *streams: Float[Array, "b h w _"]) -> Float[Array, "b h w o"]:
        """The branch of this index of the channels of all streams, in float32."""
        weights, compute = self.branches[index], partial(_branch, dtype=self.dtype)
        if not self.remat:
            return compute(weights, *streams)
        # Kept as rows of pixels: a TPU fills up the last axis of what it keeps to 128, and might
        # take for it the 32 or fewer columns of an image.
        size = streams[0].shape[:3]
        rows = [stream.reshape(len(stream), -1, stream.shape[-1]) for stream in streams]

        def again(weights: Sequence[Convolution], *rows: Array) -> Array:
            return compute(weights, *(each.reshape(*size, -1) for each in rows))

        return jax.checkpoint(again)(weights, *rows)


def convolutions(
    module: nn.Module, name: str, count: int, shape: tuple[int, int, int], scale: float = 1.0
) -> list[Convolution]:
    """Kernels and biases of so many convolutions, two parameters of the module.

    Args:
        module: module that has the parameters, `name_kernel` and `name_bias`.
        name: common part of the names of both parameters.
        count: number of convolutions.
        shape: the size of the kernel, channels in, and channels out.
        scale: variance of the kernels at first, over that of `lecun_normal`; the
            biases start at zero.
    """
    size, inputs, outputs = shape
    kernels = count, size, size, inputs, outputs
    kernel = module.param(f"{name}_kernel", _scaled(scale), kernels, jnp.float32)
    bias = module.param(f"{name}_bias", nn.initializers.zeros, (count, outputs), jnp.float32)
    # Split at once: the gradient is then one concatenation, and not a sum of `count` arrays.
    split = ([jnp.squeeze(part, 0) for part in jnp.split(each, count)] for each in (kernel, bias))
    return list(zip(*split, strict=True))


def convolve(images: Float[Array, "b h w c"], weights: Convolution) -> Float[Array, "b h w o"]:
    """Convolution of stride 1 plus a bias, in the dtype of the images."""
    kernel, bias = weights
    return convolve_same(images, kernel) + bias.astype(images.dtype)[None, None, None, :]


def shrink(images: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h/f w/f c"]:
    """Means over squares of `factor` pixels a side, f."""
    batch, height, width, channels = images.shape
    split = images.reshape(batch, height // factor, factor, width // factor, factor, channels)
    return split.mean(axis=(2, 4))


def enlarge(images: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h*f w*f c"]:
    """Every pixel as a square of `factor` pixels a side, f."""
    return jnp.repeat(jnp.repeat(images, factor, axis=1), factor, axis=2)


def _branch(
    weights: Sequence[Convolution], *streams: Float[Array, "b h w _"], dtype: jnp.dtype
) -> Float[Array, "b h w o"]:
    # Set side by side here, so that a branch that is computed again does not keep it.
    hidden = jnp.concatenate([stream.astype(dtype) for stream in streams], axis=-1)
    for weight in weights[:-1]:
        hidden = convolve(nn.gelu(hidden), weight)
    return convolve(nn.gelu(hidden).astype(jnp.float32), weights[-1])


def _scaled(scale: float) -> nn.initializers.Initializer:
    """`lecun_normal` of so much of its variance, for every kernel of a stack."""
    if scale == 0:
        return nn.initializers.zeros
    return nn.initializers.variance_scaling(scale, "fan_in", "truncated_normal", batch_axis=(0,))
