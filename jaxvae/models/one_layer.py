"""The one-layer VAE beside the two-layer hierarchy: what a hierarchy has to be better than."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvae.models.hvae import HVAE, build_hvae
from jaxvae.models.layers import DownConvolution, SameConvolution, UpConvolution
from jaxvae.models.likelihoods import Likelihood
from jaxvae.models.networks import Taps
from jaxvae.models.sizes import checked_widths
from jaxvae.models.stochastic_layers import Gaussian
from jaxvae.models.two_layer import (
    SIDE,
    decoded,
    growing,
    log_variance_of,
    refuse_other_sides,
    shrinking,
)
from jaxvae.models.vae import BERNOULLI
from jaxvae.typing import ImageShape


def one_layer_hvae(
    *,
    image_shape: ImageShape,
    channels: int = 32,
    width: int = 32,
    likelihood: Likelihood = BERNOULLI,
) -> HVAE:
    """One layer of latents: z_1 of `two_layer_hvae`, with a standard normal prior.

    Encoder and decoder are those that z_1 has there, of another width: 123,378 parameters for
    MNIST with 16 channels in z_1 and a width of 45, 0.5% more than the two layers have.

    Args:
        image_shape: `(h, w, c)`, of 28 x 28 or 32 x 32 pixels.
        channels: channels of z_1.
        width: channels of all convolutions but those to z_1.
        likelihood: likelihood of the images, given the output of the decoder.

    Raises:
        ValueError: for images of another size, and a width below 1.
    """
    refuse_other_sides(image_shape)
    (width,) = checked_widths([width])
    parameters = likelihood.parameters(image_shape[2])
    network = OneLayerNetwork(channels, width, parameters, image_shape[0] == 28)
    shapes = ((SIDE, SIDE, channels),)
    return build_hvae(network, image_shape=image_shape, shapes=shapes, likelihood=likelihood)


class OneLayerNetwork(nn.Module):
    """The network of `one_layer_hvae`, as `build_hvae` takes it.

    Attributes:
        channels: channels of z_1.
        width: channels of all other convolutions.
        parameters: channels that the likelihood takes.
        small: whether images have sides of 28: then 7 pixels become 4, and not 8.
    """

    channels: int
    width: int
    parameters: int
    small: bool

    def setup(self) -> None:
        """The layers, by what they are for."""
        w, c = self.width, self.channels
        self.features = [DownConvolution(w), DownConvolution(w), shrinking(w, small=self.small)]
        self.mean, self.deviation = SameConvolution(c), SameConvolution(c)
        self.decoder = [
            growing(w, small=self.small),
            UpConvolution(w),
            UpConvolution(self.parameters),
        ]

    def encode(self, images: Float[Array, "b h w c"], *, train: bool) -> tuple[Array, Taps]:
        """The features of the images that z_1 is inferred from."""
        del train
        hidden, taps = images, {}
        for depth, layer in enumerate(self.features, start=1):
            hidden = taps[f"z_1/{depth}"] = nn.relu(layer(hidden))
        return hidden, taps

    def start(self, batch: int) -> Float[Array, "b 4 4 c"]:
        """Zeros, the mean and the log-variance of the prior of z_1: no layer is above it."""
        return jnp.zeros((batch, SIDE, SIDE, self.channels))

    def prior(self, index: int, state: Float[Array, "b 4 4 c"], *, train: bool) -> Gaussian:
        """The prior of z_1, which is standard normal."""
        del index, train
        return Gaussian(state, state)

    def posterior(
        self, index: int, features: Array, state: Array, prior: Gaussian, *, train: bool
    ) -> Gaussian:
        """The posterior of z_1, from the images."""
        del index, state, prior, train
        return Gaussian(self.mean(features), log_variance_of(self.deviation(features)))

    def absorb(self, index: int, state: Array, sample: Array, *, train: bool) -> Array:
        """The decoder is given the sample alone."""
        del index, state, train
        return sample

    def output(self, state: Float[Array, "b 4 4 c"], *, train: bool) -> tuple[Array, Taps]:
        """The parameters of the likelihood, from z_1."""
        del train
        return decoded(self.decoder, state)
