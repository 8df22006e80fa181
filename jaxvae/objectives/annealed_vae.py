"""The annealed VAE: a rate that follows a capacity."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.models.vae import Outputs
from jaxvae.objectives.beta_vae import beta_vae
from jaxvae.objectives.coefficients import refuse_several


class AnnealedVAETerms(NamedTuple):
    """The parts of the annealed loss, batch means in nats per image.

    Attributes:
        reconstruction: `[]`, negative log-likelihood, summed over pixels.
        kl: `[]`, KL divergence from the prior, summed over latents.
        penalty: `[]`, `gamma |kl - capacity|`.
    """

    reconstruction: Float[Array, ""]
    kl: Float[Array, ""]
    penalty: Float[Array, ""]


def capacity_penalty(
    kl: Float[Array, "*shape"], *, capacity: float | Array, gamma: float | Array = 1000.0
) -> Float[Array, "*shape"]:
    """`gamma |kl - capacity|` in nats, for kl and capacity in nats: zero where they are equal.

    Of the shape of `kl`, never negative for a gamma of at least 0. NaN gives NaN.

    Reference: Burgess et al. (2018).
    """
    return gamma * jnp.abs(kl - capacity)


def annealed_vae(
    outputs: Outputs,
    *,
    capacity: float | Array,
    gamma: float | Array = 1000.0,
) -> tuple[Float[Array, ""], AnnealedVAETerms]:
    """Reconstruction + gamma |KL - capacity|, of batch means, in nats per image.

    Args:
        outputs: outputs of a VAE.
        capacity: the rate asked for, in nats; `linear_ramp` lets it grow with the step.
        gamma: weight of the distance from it.

    Returns:
        The loss and its terms.

    Raises:
        ValueError: for a capacity or gamma that is not one number.

    Reference: Burgess et al. (2018).
    """
    refuse_several({"capacity": capacity, "gamma": gamma})
    _, (reconstruction, kl) = beta_vae(outputs)
    penalty = capacity_penalty(kl, capacity=capacity, gamma=gamma)
    return reconstruction + penalty, AnnealedVAETerms(reconstruction, kl, penalty)
