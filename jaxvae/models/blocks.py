"""The parts of residual streams of images: bottleneck branches, and changes of size.

All branches of one kind keep their parameters in one array each. A network of dozens of
blocks then has dozens of arrays instead of a thousand: to draw them and to descend on them
is compiled once, and not once a block.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvae.models.repeated import kept, packed, unpacked, unstack
from jaxvae.models.same_convolution import convolve_same

Convolution = tuple[Float[Array, "... k k c o"], Float[Array, "... o"]]


class Branch(NamedTuple):
    """The parameters of a branch, or, with an axis more, of a run of branches.

    Attributes:
        enter: its first convolution.
        middle: the two after it, along an axis.
        leave: its last convolution.
    """

    enter: Convolution
    middle: Convolution
    leave: Convolution


class Branches(nn.Module):
    """Branches of convolutions 1 x 1, k x k, k x k and 1 x 1, each after a GELU.

    With fewer channels inside, He et al. (2016); in this form Child (2021).

    Attributes:
        runs: k, odd, and the number of branches of every run of branches that are alike.
        inputs: channels that a branch takes.
        inner: channels of all of its convolutions but the last.
        features: channels that it puts out.
        scale: variance of the last kernel at first, over that of `lecun_normal`.
    """

    runs: tuple[tuple[int, int], ...]
    inputs: int
    inner: int
    features: int
    scale: float = 1.0

    def setup(self) -> None:
        """Four convolutions for every branch."""
        counts = [count for _, count in self.runs]
        enter = convolutions(self, "enter", counts, (1, self.inputs, self.inner))
        middle = {}
        for size in dict.fromkeys(size for size, _ in self.runs):
            several = [2 * count for each, count in self.runs if each == size]
            shape = (size, self.inner, self.inner)
            middle[size] = iter(convolutions(self, f"middle_{size}", several, shape))
        leave = convolutions(self, "leave", counts, (1, self.inner, self.features), self.scale)
        self.branches = [
            Branch(enter[run], jax.tree.map(_in_pairs, next(middle[size])), leave[run])
            for run, (size, _) in enumerate(self.runs)
        ]

    def __call__(self, run: int) -> Branch:
        """The branches of a run, their parameters stacked."""
        return self.branches[run]


def convolutions(
    module: nn.Module,
    name: str,
    counts: Sequence[int],
    shape: tuple[int, int, int],
    scale: float = 1.0,
) -> list[Convolution]:
    """Kernels and biases of runs of convolutions, two parameters of the module.

    Args:
        module: module that has the parameters, `name_kernel` and `name_bias`.
        name: common part of the names of both parameters.
        counts: number of convolutions of every run.
        shape: the size of the kernel, channels in, and channels out.
        scale: variance of the kernels at first, over that of `lecun_normal`; the
            biases start at zero.
    """
    size, inputs, outputs = shape
    kernels = sum(counts), size, size, inputs, outputs
    kernel = module.param(f"{name}_kernel", _scaled(scale), kernels, jnp.float32)
    bias = module.param(f"{name}_bias", nn.initializers.zeros, (sum(counts), outputs), jnp.float32)
    *ends, _ = accumulate(counts)
    # Split at once: the gradient is then one concatenation.
    return list(zip(jnp.split(kernel, ends), jnp.split(bias, ends), strict=True))


def branch(
    weights: Branch, *streams: Float[Array, "b h w _"], dtype: jnp.dtype, remat: bool
) -> Float[Array, "b h w o"]:
    """A branch of the channels of all streams, in float32.

    Args:
        weights: its parameters.
        streams: images of the same size.
        dtype: type of all convolutions but the last, which is computed in float32, since
            what branches give is summed over many, or subtracted in a rate.
        remat: whether it is computed again for its gradient instead of kept.
    """
    if not remat:
        return _branch(weights, *streams, dtype=dtype, keep=kept)
    shapes = [stream.shape for stream in streams]

    # What is `kept` within would be kept, although it is computed again.
    def again(weights: Branch, *given: Array) -> Array:
        images = map(unpacked, given, shapes)
        return _branch(weights, *images, dtype=dtype, keep=lambda values: values)

    return kept(jax.checkpoint(again)(weights, *map(packed, streams)))


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
    weights: Branch,
    *streams: Float[Array, "b h w _"],
    dtype: jnp.dtype,
    keep: Callable[[Array], Array],
) -> Float[Array, "b h w o"]:
    # Set side by side here, so that a branch that is computed again does not keep it.
    hidden = jnp.concatenate([stream.astype(dtype) for stream in streams], axis=-1)
    for weight in (weights.enter, *unstack(weights.middle, 2)):
        hidden = keep(convolve(nn.gelu(hidden), weight))
    return keep(convolve(nn.gelu(hidden).astype(jnp.float32), weights.leave))


def _in_pairs(leaf: Float[Array, "2n ..."]) -> Float[Array, "n 2 ..."]:
    return leaf.reshape(-1, 2, *leaf.shape[1:])


def _scaled(scale: float) -> nn.initializers.Initializer:
    """`lecun_normal` of so much of its variance, for every kernel of a stack."""
    if scale == 0:
        return nn.initializers.zeros
    return nn.initializers.variance_scaling(scale, "fan_in", "truncated_normal", batch_axis=(0,))
