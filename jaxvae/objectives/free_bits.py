"""The VAE with free bits: latents that are not pressed below a rate."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.models.vae import Outputs
from jaxvae.objectives.coefficients import one_or_each
from jaxvae.objectives.divergences import gaussian_kl
from jaxvae.typing import ArrayLike


class FreeBitsTerms(NamedTuple):
    """The parts of the free-bits loss, batch means in nats per image.

    Attributes:
        reconstruction: `[]`, negative log-likelihood, summed over pixels.
        kl: `[]`, KL divergence from the prior, summed over latents.
        charged: `[]`, the part of the loss that stands for it, never below it.
    """

    reconstruction: Float[Array, ""]
    kl: Float[Array, ""]
    charged: Float[Array, ""]


def free_bits(
    outputs: Outputs, *, free: float | Float[ArrayLike, "*k"]
) -> tuple[Float[Array, ""], FreeBitsTerms]:
    """Reconstruction + sum_k max(free, KL_k), with KL_k the batch mean of latent k.

    A latent whose rate is below `free` gets no gradient from it: it is not collapsed.

    Args:
        outputs: outputs of a VAE.
        free: nats of every latent, or one number for all latents; 0 gives the plain VAE.

    Returns:
        The loss and its terms, in nats per image.

    Raises:
        ValueError: for free nats that are neither one number nor one for every latent.

    Reference: Kingma, Salimans, Jozefowicz, Chen, Sutskever and Welling (2016).
    """
    reconstruction = jnp.mean(outputs.nll)
    rates = jnp.mean(gaussian_kl(outputs.mean, outputs.log_variance), axis=0)
    least = one_or_each("free", free, rates, of="latents")
    if outputs.present is not None:
        least = jnp.where(outputs.present, least, 0.0)
    charged = jnp.sum(jnp.maximum(rates, least))
    return reconstruction + charged, FreeBitsTerms(reconstruction, jnp.sum(rates), charged)
