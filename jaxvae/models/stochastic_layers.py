"""The layers of latents of a hierarchy: Gaussians given those above, their samples and names."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

Shape = tuple[int, ...]


class Gaussian(NamedTuple):
    """Independent Gaussians.

    Attributes:
        mean: `[b, ...]`.
        log_variance: `[b, ...]`.
    """

    mean: Float[Array, "b *shape"]
    log_variance: Float[Array, "b *shape"]

    def sample(self, noise: Float[Array, "b *shape"]) -> Float[Array, "b *shape"]:
        """`mean + exp(log_variance / 2) * noise`."""
        return self.mean + jnp.exp(self.log_variance / 2) * noise


class StochasticLayer(NamedTuple):
    """The posterior, prior and sample of a layer of a hierarchy for a batch.

    Attributes:
        posterior: `q(z_l | z_>l, x)` at the sample from above.
        prior: `p(z_l | z_>l)` there.
        sample: `[b, ...]`, `mean + exp(log_variance / 2) * noise` of the posterior, or
            what was given in its place.
    """

    posterior: Gaussian
    prior: Gaussian
    sample: Float[Array, "b *shape"]


def layer_names(count: int) -> list[str]:
    """Names of the layers as in the literature, from `z_L` at the top to `z_1` at the bottom."""
    return [f"z_{number}" for number in range(count, 0, -1)]


def split_noise(noise: Float[Array, "b k"], shapes: Sequence[Shape]) -> list[Array]:
    """The noise of every layer, in its shape; the top layer takes the first."""
    *ends, _ = accumulate(math.prod(shape) for shape in shapes)
    parts = jnp.split(noise, ends, axis=1)
    return [part.reshape(len(noise), *shape) for part, shape in zip(parts, shapes, strict=True)]


def flat(values: Float[Array, "b *shape"]) -> Float[Array, "b k"]:
    """The numbers of every example in one row."""
    return values.reshape(len(values), -1)


def merge_precisions(one: Gaussian, other: Gaussian) -> Gaussian:
    """The normalized product of two Gaussians: precisions add, means are weighted by them.

    The posterior of a ladder VAE is the merger of what the images say and of the prior.

    Reference: Sonderby, Raiko, Maaloe, Sonderby and Winther (2016).
    """
    # With a = log(v_other) - log(v_one): 1 / (1 / v_one + 1 / v_other) = v_one sigmoid(a).
    difference = other.log_variance - one.log_variance
    share = nn.sigmoid(difference)
    return Gaussian(
        other.mean + share * (one.mean - other.mean),
        one.log_variance + nn.log_sigmoid(difference),
    )
