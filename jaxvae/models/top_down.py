"""A deep hierarchy of residual blocks: many stochastic layers at growing resolutions.

Encoder and decoder are streams of images to which bottleneck blocks add. The encoder goes
down from the pixels, the decoder up from a learned constant, and every block of the decoder
holds one stochastic layer, at its resolution. The layers of a resolution differ in their
parameters alone: they are compiled as one, whatever their number. Nothing normalizes over a
batch: the last convolution of every block that adds to a stream is scaled by `1 / sqrt(depth)`
at first, so that a stream of any depth starts with the variance of a shallow one.

Reference: Child (2021), "Very deep VAEs generalize autoregressive models and can outperform
them on images".
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvae.models.blocks import (
    Branch,
    Branches,
    Convolution,
    branch,
    convolutions,
    convolve,
    enlarge,
    shrink,
)
from jaxvae.models.hvae import HVAE, build_hvae
from jaxvae.models.layers import SameConvolution
from jaxvae.models.likelihoods import Likelihood
from jaxvae.models.networks import Taps
from jaxvae.models.repeated import repeat
from jaxvae.models.stochastic_layers import Gaussian, Shape, StochasticLayer
from jaxvae.models.vae import BERNOULLI
from jaxvae.typing import ImageShape

_SMALLEST = 4
_BOTTLENECK = 4
_DTYPES = ("float32", "bfloat16")
_LOG_VARIANCE_BOUND = 7.0


def deep_hvae(
    *,
    image_shape: ImageShape,
    resolutions: Sequence[int] = (),
    blocks: Sequence[int] = (3,),
    channels: int = 64,
    latent_channels: int = 8,
    compute_dtype: str = "float32",
    remat: bool = False,
    likelihood: Likelihood = BERNOULLI,
) -> HVAE:
    """Many layers of latents in a top-down residual network, several at every resolution.

    As it is, 12 layers for images of 28 x 28 pixels, at sides 1, 7, 14 and 28, and 15 for
    32 x 32, at 1, 4, 8, 16 and 32.

    The log variances of priors and posteriors lie within -7 and 7, by `7 tanh(x / 7)`:
    standard deviations of 0.03 to 33. A latent that shrinks from the widest to the narrowest
    still carries 7 nats, and no variance is so small that a rate overflows or its gradient
    in a mean exceeds 1,100 times the distance of the means; at 0 the bound is the identity.
    All priors start as N(0, 1), whatever is above them.

    Args:
        image_shape: `(h, w, c)`, square.
        resolutions: sides of the layers in pixels, from the top to the bottom; each divides
            the next, and the last is the side of the images. Without any, that side
            halved while it is even and at least 4 are left, and 1 at the top.
        blocks: stochastic layers at every resolution, from the top to the bottom; one
            number holds for all. The encoder has as many residual blocks.
        channels: channels of both streams; inside the blocks there are a quarter.
        latent_channels: latent channels of every stochastic layer.
        compute_dtype: `float32`, or `bfloat16` for the convolutions inside the blocks:
            parameters, streams, Gaussians, samples and taps are float32 in both.
        remat: whether the blocks are computed again for their gradients instead of kept:
            the same numbers, from less memory in more time. XLA may undo it on CPU.
        likelihood: likelihood of the images, given the output of the decoder.

    Returns:
        An `HVAE` whose taps are `encoder/1 ...` after every block from the pixels on, and
        `decoder/z_l` after the block of z_l, from the top to the bottom.

    Raises:
        ValueError: for images that are not square, resolutions that do not divide one
            another up to the images' side, and sizes below 1 (of the channels, 4).

    Reference: Child (2021).
    """
    sides = tuple(resolutions) or _halvings(image_shape[0])
    counts = tuple(blocks) * (len(sides) if len(blocks) == 1 else 1)
    _check(image_shape, sides, counts, channels)
    if compute_dtype not in _DTYPES:
        raise ValueError(f"expected a compute_dtype of {' or '.join(_DTYPES)}, got {compute_dtype}")
    parameters, dtype = likelihood.parameters(image_shape[2]), jnp.dtype(compute_dtype)
    network = TopDownNetwork(sides, counts, channels, latent_channels, parameters, dtype, remat)
    shapes = [
        (side, side, latent_channels)
        for side, count in zip(sides, counts, strict=True)
        for _ in range(count)
    ]
    return build_hvae(network, image_shape=image_shape, shapes=shapes, likelihood=likelihood)


class Layer(NamedTuple):
    """The parameters of a stochastic layer, or, with an axis more, of a run of layers.

    Attributes:
        prior: branch that gives the prior and what it adds to the stream.
        posterior: branch that gives the posterior; None where images are generated.
        sample: convolution of the sample that is added to the stream.
        decoder: branch that is added to the stream.
    """

    prior: Branch
    posterior: Branch | None
    sample: Convolution
    decoder: Branch


class TopDownNetwork(nn.Module):
    """The network of `deep_hvae`, as `build_hvae` takes one with runs of layers.

    Attributes:
        sides: sides of the resolutions, from the top to the bottom.
        runs: number of stochastic layers at every resolution.
        channels: channels of both streams.
        latent_channels: latent channels of every stochastic layer.
        parameters: channels that the likelihood takes.
        dtype: type of the convolutions inside the blocks.
        remat: whether blocks are computed again for their gradients.
    """

    sides: tuple[int, ...]
    runs: tuple[int, ...]
    channels: int
    latent_channels: int
    parameters: int
    dtype: jnp.dtype
    remat: bool

    def setup(self) -> None:
        """The branches of all layers, by what they are for; a constant for every resolution."""
        c, k, depth = self.channels, self.latent_channels, sum(self.runs)
        self.entry = SameConvolution(c)
        self.encoder = self._branches(c, c, 1 / depth, upward=True)
        self.posteriors = self._branches(2 * c, 2 * k)
        self.priors = self._branches(c, 2 * k + c, 0.0)
        self.samples = convolutions(self, "sample", self.runs, (1, k, c), 1 / depth)
        self.decoder = self._branches(c, c, 1 / depth)
        zeros = nn.initializers.zeros
        self.constants = [
            self.param(f"constant_{side}", zeros, (side, side, c), jnp.float32)
            for side in self.sides
        ]
        self.leave = SameConvolution(self.parameters, 1)

    def encode(
        self, images: Float[Array, "b h w c"], *, train: bool
    ) -> tuple[dict[int, Array], Taps]:
        """The stream after all blocks of a resolution, by its side."""
        del train

        def block(hidden: Array, weights: Branch) -> tuple[Array, Array]:
            hidden = hidden + self._branch(weights, hidden)
            return hidden, hidden

        hidden, features, every = self.entry(images), {}, []
        for run, side in enumerate(reversed(self.sides)):
            hidden = shrink(hidden, hidden.shape[1] // side)
            hidden, streams = repeat(block, hidden, self.encoder(run), self.runs[-1 - run])
            features[side] = hidden
            every += streams
        return features, {str(depth): tap for depth, tap in enumerate(every, start=1)}

    def start(self, batch: int) -> Float[Array, "b h w c"]:
        """An empty stream of the smallest resolution."""
        return jnp.zeros((batch, self.sides[0], self.sides[0], self.channels))

    def run(
        self, number: int, state: Float[Array, "b h w c"], *, inferring: bool
    ) -> tuple[Float[Array, "b h w c"], Layer]:
        """The stream at a resolution, to which its constant is added, and its layers."""
        stream = enlarge(state, self.sides[number] // state.shape[1]) + self.constants[number][None]
        posterior = self.posteriors(number) if inferring else None
        return stream, Layer(
            self.priors(number), posterior, self.samples[number], self.decoder(number)
        )

    def layer(
        self,
        weights: Layer,
        features: dict[int, Array],
        state: Float[Array, "b h w c"],
        draw: Callable[[Gaussian, Gaussian], StochasticLayer],
    ) -> tuple[Float[Array, "b h w c"], StochasticLayer]:
        """The prior's residual, the sample and a block added to the stream.

        The posterior sees the stream and what the encoder says at this resolution.
        """
        both = 2 * self.latent_channels
        made = self._branch(weights.prior, state)
        prior = posterior = _gaussian(made[..., :both])
        if weights.posterior is not None:
            seen = features[state.shape[1]]
            posterior = _gaussian(self._branch(weights.posterior, state, seen))
        drawn = draw(prior, posterior)
        state = state + made[..., both:] + convolve(drawn.sample, weights.sample)
        return state + self._branch(weights.decoder, state), drawn

    def output(self, state: Float[Array, "b h w c"], *, train: bool) -> tuple[Array, Taps]:
        """A convolution 1 x 1 of the stream."""
        del train
        return self.leave(state), {}

    def _branches(
        self, inputs: int, features: int, scale: float = 1.0, *, upward: bool = False
    ) -> Branches:
        """One for every layer. Up to 2 x 2 pixels, 3 x 3 would see mostly padding."""
        sizes = [3 if side > 2 else 1 for side in self.sides]
        runs = tuple(zip(sizes, self.runs, strict=True))
        inner = self.channels // _BOTTLENECK
        return Branches(runs[::-1] if upward else runs, inputs, inner, features, scale)

    def _branch(self, weights: Branch, *streams: Array) -> Array:
        return branch(weights, *streams, dtype=self.dtype, remat=self.remat)


def _gaussian(parameters: Float[Array, "b h w 2k"]) -> Gaussian:
    mean, raw = jnp.split(parameters, 2, axis=-1)
    return Gaussian(mean, _LOG_VARIANCE_BOUND * jnp.tanh(raw / _LOG_VARIANCE_BOUND))


def _halvings(side: int) -> tuple[int, ...]:
    sides = [side]
    while sides[0] % 2 == 0 and sides[0] // 2 >= _SMALLEST:
        sides.insert(0, sides[0] // 2)
    return tuple(dict.fromkeys((1, *sides)))


def _check(image_shape: Shape, sides: Shape, counts: Shape, channels: int) -> None:
    height, width, _ = image_shape
    if height != width:
        raise ValueError(
            f"expected square images, got {height} x {width}; resize them with image_size"
        )
    if (
        min(sides) < 1
        or sides[-1] != height
        or not all(above < below and below % above == 0 for above, below in pairwise(sides))
    ):
        raise ValueError(
            f"expected resolutions that each divide the next, up to the {height} pixels of the "
            f"images, got {list(sides)}"
        )
    if len(counts) != len(sides) or min(counts) < 1:
        raise ValueError(
            f"expected blocks, one number or one for each of the {len(sides)} resolutions "
            f"{list(sides)}, of at least 1, got {list(counts)}"
        )
    if channels < _BOTTLENECK:
        raise ValueError(f"expected at least {_BOTTLENECK} channels, got {channels}")
