"""The beta-VAE objective; with beta = 1 the evidence lower bound."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.models.vae import Outputs
from jaxvae.objectives.coefficients import refuse_several
from jaxvae.objectives.divergences import gaussian_kl


class BetaVAETerms(NamedTuple):
    """The parts of the beta-VAE loss, batch means in nats per image.

    Attributes:
        reconstruction: `[]`, negative log-likelihood, summed over pixels.
        kl: `[]`, KL divergence from the prior, summed over latents.
    """

    reconstruction: Float[Array, ""]
    kl: Float[Array, ""]


def beta_vae(
    outputs: Outputs, *, beta: float | Array = 1.0
) -> tuple[Float[Array, ""], BetaVAETerms]:
    """Reconstruction + beta KL, the batch mean in nats per image.

    Args:
        outputs: outputs of a VAE.
        beta: weight of the rate; 1 gives the negative evidence lower bound.

    Returns:
        The loss and its terms.

    Raises:
        ValueError: for beta that is not one number.

    Reference: Kingma and Welling (2014); Higgins et al. (2017).
    """
    refuse_several({"beta": beta})
    reconstruction = jnp.mean(outputs.nll)
    kl = jnp.mean(jnp.sum(gaussian_kl(outputs.mean, outputs.log_variance), axis=1))
    return reconstruction + beta * kl, BetaVAETerms(reconstruction, kl)
