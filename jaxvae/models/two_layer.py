"""The two-layer convolutional hierarchy of Xiao and Bamler (2023)."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvae.models.hvae import HVAE, build_hvae
from jaxvae.models.layers import (
    DownConvolution,
    FullConvolution,
    SameConvolution,
    UpConvolution,
    ValidConvolution,
)
from jaxvae.models.likelihoods import Likelihood
from jaxvae.models.networks import Taps
from jaxvae.models.stochastic_layers import Gaussian, merge_precisions
from jaxvae.models.vae import BERNOULLI
from jaxvae.typing import ImageShape

SIDE = 4
# Below this, softplus is the exponential to the last bit of float32.
_LINEAR = -17.0


def two_layer_hvae(
    *,
    image_shape: ImageShape,
    channels: int = 32,
    top: int = 32,
    ladder: bool = False,
    likelihood: Likelihood = BERNOULLI,
) -> HVAE:
    """Two layers of latents: z_2, a vector, above z_1, an image of 4 x 4 pixels.

    475,811 parameters for 32 x 32 color images as it is; 122,713 for MNIST with 16 channels
    and 20 numbers in z_2: the networks of Xiao and Bamler (2023).

    Args:
        image_shape: `(h, w, c)`, of 28 x 28 or 32 x 32 pixels.
        channels: channels of every convolution and of z_1.
        top: numbers in z_2.
        ladder: whether the posterior of z_1 is what the images say, merged by precision
            with the prior given z_2, instead of any function of the images and z_2.
        likelihood: likelihood of the images, given the output of the decoder.

    Raises:
        ValueError: for images of another size.
    """
    refuse_other_sides(image_shape)
    parameters = likelihood.parameters(image_shape[2])
    network = TwoLayerNetwork(channels, top, parameters, image_shape[0] == 28, ladder)
    shapes = ((top,), (SIDE, SIDE, channels))
    return build_hvae(network, image_shape=image_shape, shapes=shapes, likelihood=likelihood)


class TwoLayerNetwork(nn.Module):
    """The network of `two_layer_hvae`, as `build_hvae` takes it.

    Attributes:
        channels: channels of every convolution and of z_1.
        top: numbers in z_2.
        parameters: channels that the likelihood takes.
        small: whether images have sides of 28: then 7 pixels become 4, and not 8.
        ladder: whether the posterior of z_1 is merged with its prior by precision.
    """

    channels: int
    top: int
    parameters: int
    small: bool
    ladder: bool

    def setup(self) -> None:
        """The layers, by what they are for."""
        c, size = self.channels, SIDE * SIDE * self.channels
        self.top_features = [DownConvolution(c), DownConvolution(c), shrinking(c, small=self.small)]
        self.top_mean, self.top_deviation = nn.Dense(self.top), nn.Dense(self.top)
        self.bottom_features = [DownConvolution(c), DownConvolution(c)]
        if not self.ladder:
            self.from_top, self.spread = nn.Dense(size), growing(c, small=self.small)
        self.joined = shrinking(c, small=self.small)
        self.bottom_mean, self.bottom_deviation = SameConvolution(c), SameConvolution(c)
        self.prior_hidden = nn.Dense(size // 2)
        self.prior_mean, self.prior_deviation = nn.Dense(size), nn.Dense(size)
        self.decoder = [
            growing(c, small=self.small),
            UpConvolution(c),
            UpConvolution(self.parameters),
        ]

    def encode(
        self, images: Float[Array, "b h w c"], *, train: bool
    ) -> tuple[tuple[Array, Array], Taps]:
        """The features of the images for z_2 and for z_1, each from layers of its own."""
        del train
        taps, inputs = {}, []
        for name, layers in (("z_2", self.top_features), ("z_1", self.bottom_features)):
            hidden = images
            for depth, layer in enumerate(layers, start=1):
                hidden = taps[f"{name}/{depth}"] = nn.relu(layer(hidden))
            inputs.append(hidden)
        return (inputs[0].reshape(len(images), -1), inputs[1]), taps

    def start(self, batch: int) -> Float[Array, "b k"]:
        """Zeros, the mean and the log-variance of the prior of z_2: no layer is above it."""
        return jnp.zeros((batch, self.top))

    def prior(self, index: int, state: Float[Array, "b k"], *, train: bool) -> Gaussian:
        """Standard normal for z_2; two dense layers on z_2 for z_1."""
        del train
        if index == 0:
            return Gaussian(state, state)
        hidden = nn.relu(self.prior_hidden(state))
        shape = (len(state), SIDE, SIDE, self.channels)
        mean, deviation = self.prior_mean(hidden), self.prior_deviation(hidden)
        return Gaussian(mean.reshape(shape), log_variance_of(deviation).reshape(shape))

    def posterior(
        self,
        index: int,
        features: tuple[Array, Array],
        state: Float[Array, "b k"],
        prior: Gaussian,
        *,
        train: bool,
    ) -> Gaussian:
        """The posterior of z_2 from the images; of z_1 from both, or merged with its prior."""
        del train
        top, bottom = features
        if index == 0:
            return Gaussian(self.top_mean(top), log_variance_of(self.top_deviation(top)))
        if not self.ladder:
            above = nn.relu(self.from_top(state))
            above = above.reshape(len(state), SIDE, SIDE, self.channels)
            bottom = jnp.concatenate([bottom, nn.relu(self.spread(above))], axis=-1)
        hidden = nn.relu(self.joined(bottom))
        seen = Gaussian(self.bottom_mean(hidden), log_variance_of(self.bottom_deviation(hidden)))
        return merge_precisions(seen, prior) if self.ladder else seen

    def absorb(self, index: int, state: Array, sample: Array, *, train: bool) -> Array:
        """The next layer is given the sample alone."""
        del index, state, train
        return sample

    def output(self, state: Float[Array, "b 4 4 c"], *, train: bool) -> tuple[Array, Taps]:
        """The parameters of the likelihood, from z_1 alone."""
        del train
        return decoded(self.decoder, state)


def decoded(layers: Sequence[nn.Module], sample: Array) -> tuple[Array, Taps]:
    """The output of layers with rectifiers in between, and the taps of all but the last layer."""
    hidden, taps = sample, {}
    for depth, layer in enumerate(layers[:-1], start=1):
        hidden = taps[str(depth)] = nn.relu(layer(hidden))
    return layers[-1](hidden), taps


def shrinking(channels: int, *, small: bool) -> nn.Module:
    """A layer from a quarter of the image's side, 7 if it is small and else 8, to 4 pixels."""
    return ValidConvolution(channels, SIDE) if small else DownConvolution(channels)


def growing(channels: int, *, small: bool) -> nn.Module:
    """A layer from 4 pixels to 7 if the images are small, and else to 8: `shrinking` reversed."""
    return FullConvolution(channels, SIDE) if small else UpConvolution(channels)


def refuse_other_sides(image_shape: ImageShape) -> None:
    """Check that images can be brought to 4 x 4 pixels.

    Raises:
        ValueError: for others than those of 28 x 28 or 32 x 32 pixels.
    """
    if tuple(image_shape[:2]) not in ((28, 28), (32, 32)):
        raise ValueError(
            f"expected images of 28 x 28 or 32 x 32 pixels, got {image_shape[0]} x "
            f"{image_shape[1]}; resize them with image_size"
        )


def log_variance_of(raw: Array) -> Array:
    """The log-variance for a standard deviation `softplus(raw)`; finite for every finite number."""
    return 2 * jnp.where(raw < _LINEAR, raw, jnp.log(nn.softplus(jnp.maximum(raw, _LINEAR))))
