"""The objective of a hierarchical VAE, with a beta for the rate of every layer."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.models.hierarchy import HierarchyOutputs
from jaxvae.models.stochastic_layers import StochasticLayer
from jaxvae.objectives.coefficients import one_or_each
from jaxvae.objectives.divergences import gaussian_kl_between
from jaxvae.typing import ArrayLike


class HierarchicalVAETerms(NamedTuple):
    """The parts of the loss, batch means in nats per image.

    Attributes:
        reconstruction: `[]`, negative log-likelihood, summed over pixels: the distortion D.
        rates: `[l]`, R_l of every layer, from the top to the bottom.
    """

    reconstruction: Float[Array, ""]
    rates: Float[Array, " l"]


def hierarchical_vae(
    outputs: HierarchyOutputs,
    *,
    beta: float | Float[ArrayLike, "*l"] = 1.0,
    free: float | Float[ArrayLike, "*l"] = 0.0,
) -> tuple[Float[Array, ""], HierarchicalVAETerms]:
    """D + sum_l beta_l max(free_l, R_l), batch means in nats per image.

    With all beta equal it is a beta-VAE, with all 1 the negative evidence lower bound. The
    derivative by beta_l is R_l, where no bits are free.

    Args:
        outputs: outputs of an HVAE.
        beta: weight of the rate of every layer, from the top to the bottom, or one of all layers.
        free: nats per layer below which a layer gets no gradient from its rate.

    Returns:
        The loss and its terms.

    Raises:
        ValueError: for beta or free nats that are neither one number nor one for every layer.

    Reference: Xiao and Bamler (2023); free bits: Kingma et al. (2016).
    """
    reconstruction = jnp.mean(outputs.nll)
    rates = jnp.mean(layer_rates(outputs), axis=0)
    betas, least = (
        one_or_each(name, value, rates, of="layers")
        for name, value in (("beta", beta), ("free", free))
    )
    loss = reconstruction + jnp.sum(betas * jnp.maximum(rates, least))
    return loss, HierarchicalVAETerms(reconstruction, rates)


def layer_rates(outputs: HierarchyOutputs) -> Float[Array, "b l"]:
    """The rate of every layer, for every example, in nats, from the top to the bottom.

    `KL(q(z_l | z_>l, x) || p(z_l | z_>l))` at the samples from above, in closed form, summed
    over dimensions. Never negative but for rounding; the mean over data and samples is the rate
    R_l, and the sum over layers the KL divergence of the joint distributions.

    Reference: Xiao and Bamler (2023).
    """
    return jnp.stack([_rate(layer) for layer in outputs.layers], axis=1)


def number_rates(layer: StochasticLayer) -> Float[Array, "b *shape"]:
    """The rate of every latent dimension of a layer, for every example, in nats.

    `layer_rates` is their sum.
    """
    # In float32, whatever the network computes in: a rate is a small difference.
    numbers = (
        each.astype(jnp.promote_types(each.dtype, jnp.float32))
        for each in (*layer.posterior, *layer.prior)
    )
    return gaussian_kl_between(*numbers)


def _rate(layer: StochasticLayer) -> Float[Array, " b"]:
    rates = number_rates(layer)
    return jnp.sum(rates, axis=tuple(range(1, rates.ndim)))
