"""Encoders and decoders: linen modules that return their output and named taps.

An encoder maps images to features, a decoder latents to logits; each returns
`(output, taps)`, the taps being its layers in depth order under the names that
`VAE` prefixes with `encoder/` and `decoder/`. A network of your own is one such
module. `train` selects the statistics of batch normalization.
"""

import math
from collections.abc import Callable, Sequence

from flax import linen as nn
from jaxtyping import Array, Float

from jaxvae.models.layers import DownConvolution, UpConvolution
from jaxvae.typing import ImageShape

Taps = dict[str, Array]


class DenseEncoder(nn.Module):
    """Fully connected: images -> `widths`, each followed by a ReLU."""

    widths: Sequence[int]

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> tuple[Array, Taps]:
        """Features `[b, widths[-1]]` and one tap per layer."""
        del train
        hidden, taps = images.reshape(len(images), -1), {}
        for depth, width in enumerate(self.widths, start=1):
            hidden = taps[str(depth)] = nn.relu(nn.Dense(width)(hidden))
        return hidden, taps


class DenseDecoder(nn.Module):
    """Fully connected: latents -> `widths`, each followed by the activation, -> logits."""

    widths: Sequence[int]
    image_shape: ImageShape
    activation: Callable[[Array], Array] = nn.relu

    @nn.compact
    def __call__(self, latents: Float[Array, "b k"], *, train: bool) -> tuple[Array, Taps]:
        """Logits `[b, h, w, c]` and one tap per layer."""
        del train
        hidden, taps = latents, {}
        for depth, width in enumerate(self.widths, start=1):
            hidden = taps[str(depth)] = self.activation(nn.Dense(width)(hidden))
        logits = nn.Dense(math.prod(self.image_shape))(hidden)
        return logits.reshape(len(latents), *self.image_shape), taps


class ConvolutionalEncoder(nn.Module):
    """Convolutions k4 s2 p1, each with batch normalization and LeakyReLU(0.2)."""

    channels: Sequence[int]

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> tuple[Array, Taps]:
        """Flattened features and one tap per layer."""
        hidden, taps = images, {}
        for depth, channels in enumerate(self.channels, start=1):
            hidden = _normalized(DownConvolution(channels, use_bias=False)(hidden), train)
            taps[str(depth)] = hidden
        return hidden.reshape(len(images), -1), taps


class ConvolutionalDecoder(nn.Module):
    """A dense layer, then transposed convolutions k4 s2 p1, the mirror of the encoder.

    `channels` are those of the encoder: the dense layer gives the last of them,
    and the convolutions the others in reverse, then the image.
    """

    channels: Sequence[int]
    image_shape: ImageShape

    @nn.compact
    def __call__(self, latents: Float[Array, "b k"], *, train: bool) -> tuple[Array, Taps]:
        """Logits `[b, h, w, c]` and one tap per layer."""
        height, width, image_channels = self.image_shape
        reduction = 2 ** len(self.channels)
        small = (height // reduction, width // reduction, self.channels[-1])
        hidden = _normalized(nn.Dense(math.prod(small), use_bias=False)(latents), train)
        taps = {"1": hidden}
        hidden = hidden.reshape(len(latents), *small)
        for depth, channels in enumerate(self.channels[-2::-1], start=2):
            hidden = _normalized(UpConvolution(channels, use_bias=False)(hidden), train)
            taps[str(depth)] = hidden
        return UpConvolution(image_channels)(hidden), taps


class CompactEncoder(nn.Module):
    """Convolutions 32 k4, 32 k4, 64 k2, 64 k2, all of stride 2, and 256 units, each with a ReLU."""

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> tuple[Array, Taps]:
        """Features `[b, 256]` and one tap per layer."""
        del train
        hidden, taps = images, {}
        for depth, (channels, size) in enumerate(((32, 4), (32, 4), (64, 2), (64, 2)), start=1):
            hidden = taps[str(depth)] = nn.relu(DownConvolution(channels, size)(hidden))
        taps["5"] = nn.relu(nn.Dense(256)(hidden.reshape(len(images), -1)))
        return taps["5"], taps


class CompactDecoder(nn.Module):
    """256 units, a small image of 64 channels, and transposed convolutions 64, 32, 32 k4 s2.

    Each is followed by a ReLU, and the last by a transposed convolution to the image.
    """

    image_shape: ImageShape

    @nn.compact
    def __call__(self, latents: Float[Array, "b k"], *, train: bool) -> tuple[Array, Taps]:
        """Logits `[b, h, w, c]` and one tap per layer."""
        del train
        height, width, image_channels = self.image_shape
        small = (height // 16, width // 16, 64)
        taps = {"1": nn.relu(nn.Dense(256)(latents))}
        hidden = taps["2"] = nn.relu(nn.Dense(math.prod(small))(taps["1"]))
        hidden = hidden.reshape(len(latents), *small)
        for depth, channels in enumerate((64, 32, 32), start=3):
            hidden = taps[str(depth)] = nn.relu(UpConvolution(channels)(hidden))
        return UpConvolution(image_channels)(hidden), taps


def _normalized(hidden: Array, train: bool) -> Array:
    """Batch normalization and the activation, of a layer without a bias.

    The normalization subtracts the mean of the batch, and with it any bias, whose gradient is
    zero but for rounding: Adam would scale the rounding up and let the bias drift.
    """
    hidden = nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5)(hidden)
    return nn.leaky_relu(hidden, negative_slope=0.2)
