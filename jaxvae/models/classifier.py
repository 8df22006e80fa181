"""A small classifier of images, to judge generated ones by."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvae.models.layers import DownConvolution
from jaxvae.typing import ImageShape, Key


class Classifier(NamedTuple):
    """A classifier of images as pure functions.

    Attributes:
        image_shape: `(h, w, c)`.
        classes: M.
        init: `init(key) -> params`.
        apply: `apply(params, images [b, h, w, c] in [0, 1]) -> logits [b, M]`.
    """

    image_shape: ImageShape
    classes: int
    init: Callable[[Key], Any]
    apply: Callable[[Any, Float[Array, "b h w c"]], Float[Array, "b m"]]


def convolutional_classifier(
    *, image_shape: ImageShape, classes: int, channels: int = 32, width: int = 128
) -> Classifier:
    """Two convolutions k4 s2 p1, of `channels` and twice as many, and two dense layers.

    Args:
        image_shape: `(h, w, c)`, sides that are multiples of 4.
        classes: M >= 2.
        channels: channels of the first convolution.
        width: width of the first dense layer.

    Raises:
        ValueError: for sides that cannot be halved twice, and fewer than two classes.
    """
    if image_shape[0] % 4 or image_shape[1] % 4:
        raise ValueError(
            f"expected images with sides that are multiples of 4, got {image_shape[0]} x "
            f"{image_shape[1]}"
        )
    if classes < 2:
        raise ValueError(f"expected at least two classes, got {classes}")
    network = _Network(classes, channels, width)

    def init(key: Key) -> Any:
        return network.init(key, jnp.zeros((1, *image_shape)))["params"]

    def apply(params: Any, images: Array) -> Array:
        logits: Any = network.apply({"params": params}, images)
        return logits

    return Classifier(image_shape, classes, init, apply)


class _Network(nn.Module):
    classes: int
    channels: int
    width: int

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b m"]:
        hidden = nn.relu(DownConvolution(self.channels)(images))
        hidden = nn.relu(DownConvolution(2 * self.channels)(hidden))
        hidden = nn.relu(nn.Dense(self.width)(hidden.reshape(len(images), -1)))
        return nn.Dense(self.classes)(hidden)
