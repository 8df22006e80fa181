"""A residual convolutional encoder and its mirror, with one block per resolution.

Residual blocks as in He et al. (2016, "Deep residual learning for image recognition"),
without batch normalization: the last convolution of every block starts at zero, so
that a block begins as the identity and joins in as it learns (Zhang et al. 2019,
"Fixup initialization"). Training then needs no running statistics, and an image's
outputs do not depend on the rest of its batch.
"""

import math
from collections.abc import Sequence

from flax import linen as nn
from jaxtyping import Array, Float

from jaxvae.models.layers import DownConvolution, SameConvolution, UpConvolution
from jaxvae.models.networks import Taps
from jaxvae.models.sizes import refuse_indivisible
from jaxvae.typing import ImageShape


class ResidualBlock(nn.Module):
    """`relu(x + convolution(relu(convolution(x))))`, 3 x 3, the outer one zero at first."""

    @nn.compact
    def __call__(self, hidden: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Images of the same shape; on images without negative values, at first the same."""
        channels = hidden.shape[-1]
        branch = nn.relu(SameConvolution(channels)(hidden))
        branch = SameConvolution(channels, kernel_init=nn.initializers.zeros)(branch)
        return nn.relu(hidden + branch)


class ResidualEncoder(nn.Module):
    """Stages of a convolution k4 s2 p1, a ReLU and a residual block.

    Attributes:
        channels: channels of every stage, one stage at least; height and width of the images
            must be multiples of `2 ** len(channels)`.
    """

    channels: Sequence[int]

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> tuple[Array, Taps]:
        """Flattened features and one tap per block."""
        del train
        _check_stages(images.shape[1:3], self.channels)
        hidden, taps = images, {}
        for depth, channels in enumerate(self.channels, start=1):
            hidden = nn.relu(DownConvolution(channels)(hidden))
            hidden = taps[str(depth)] = ResidualBlock()(hidden)
        return hidden.reshape(len(images), -1), taps


class ResidualDecoder(nn.Module):
    """A dense layer, then stages of a residual block and a transposed convolution k4 s2 p1.

    The dense layer and every convolution but the last, which gives the image, are
    followed by a ReLU.

    Attributes:
        channels: those of the encoder; the dense layer gives the last of them, and
            the convolutions the others in reverse.
        image_shape: `(h, w, c)` of the logits, `h` and `w` multiples of
            `2 ** len(channels)`.
    """

    channels: Sequence[int]
    image_shape: ImageShape

    @nn.compact
    def __call__(self, latents: Float[Array, "b k"], *, train: bool) -> tuple[Array, Taps]:
        """Logits `[b, h, w, c]` and one tap per block."""
        del train
        height, width, image_channels = self.image_shape
        _check_stages((height, width), self.channels)
        reduction = 2 ** len(self.channels)
        small = (height // reduction, width // reduction, self.channels[-1])
        hidden = nn.relu(nn.Dense(math.prod(small))(latents)).reshape(len(latents), *small)
        taps = {"1": ResidualBlock()(hidden)}
        hidden = taps["1"]
        for depth, channels in enumerate(self.channels[-2::-1], start=2):
            hidden = nn.relu(UpConvolution(channels)(hidden))
            hidden = taps[str(depth)] = ResidualBlock()(hidden)
        return UpConvolution(image_channels)(hidden), taps


def _check_stages(size: Sequence[int], channels: Sequence[int]) -> None:
    if not channels:
        raise ValueError("expected the channels of at least one stage, got none")
    refuse_indivisible(size, 2 ** len(channels), f"for {len(channels)} stages of stride 2")
