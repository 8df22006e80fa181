"""The network that FactorVAE trains beside the VAE, to tell joint from permuted latents."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvae.typing import Key


class Discriminator(NamedTuple):
    """A classifier of latents as pure functions.

    Attributes:
        init: `init(key) -> params`.
        apply: `apply(params, latents [b, k]) -> logits [b, 2]`.
    """

    init: Callable[[Key], Any]
    apply: Callable[[Any, Float[Array, "b k"]], Float[Array, "b 2"]]


def dense_discriminator(*, latents: int, depth: int = 6, width: int = 1000) -> Discriminator:
    """`depth` layers of `width` with LeakyReLU(0.2), and two logits.

    Reference: Kim and Mnih (2018), whose sizes are the defaults.
    """
    network = _Classifier(depth, width)

    def init(key: Key) -> Any:
        return network.init(key, jnp.zeros((1, latents)))["params"]

    def apply(params: Any, latents: Array) -> Array:
        logits: Any = network.apply({"params": params}, latents)
        return logits

    return Discriminator(init, apply)


class _Classifier(nn.Module):
    depth: int
    width: int

    @nn.compact
    def __call__(self, latents: Float[Array, "b k"]) -> Float[Array, "b 2"]:
        hidden = latents
        for _ in range(self.depth):
            hidden = nn.leaky_relu(nn.Dense(self.width)(hidden), negative_slope=0.2)
        return nn.Dense(2)(hidden)
