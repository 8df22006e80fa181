"""DIP-VAE: an aggregate posterior whose covariance is the identity."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.models.vae import Outputs
from jaxvae.objectives.beta_vae import beta_vae
from jaxvae.objectives.coefficients import refuse_several


class DIPVAETerms(NamedTuple):
    """The parts of the DIP-VAE loss, batch means in nats per image.

    Attributes:
        reconstruction: `[]`, negative log-likelihood, summed over pixels.
        kl: `[]`, KL divergence from the prior, summed over latents.
        penalty: `[]`, `dip_penalty`.
    """

    reconstruction: Float[Array, ""]
    kl: Float[Array, ""]
    penalty: Float[Array, ""]


def dip_penalty(
    covariance: Float[Array, "k k"], *, off_diagonal: float | Array, diagonal: float | Array
) -> Float[Array, ""]:
    """`off_diagonal sum_{i != j} C_ij^2 + diagonal sum_i (C_ii - 1)^2`.

    In nats, as weights are nats per unit of a squared covariance. Zero for the identity; never
    negative where the weights are not. Of a covariance with NaN it is NaN.

    Raises:
        ValueError: for weights that are not one number each.

    Reference: Kumar, Sattigeri and Balakrishnan (2018).
    """
    refuse_several({"off_diagonal": off_diagonal, "diagonal": diagonal})
    variances = jnp.diagonal(covariance)
    # Without a difference of sums, which would cancel where variances are large.
    between = jnp.sum(jnp.where(jnp.eye(len(covariance), dtype=bool), 0.0, covariance) ** 2)
    return off_diagonal * between + diagonal * jnp.sum((variances - 1) ** 2)


def dip_vae_i(
    outputs: Outputs,
    *,
    off_diagonal: float | Array,
    diagonal: float | Array | None = None,
) -> tuple[Float[Array, ""], DIPVAETerms]:
    """Reconstruction + KL + the penalty on the covariance of the posterior means.

    Args:
        outputs: outputs of a VAE.
        off_diagonal: weight of squared covariances.
        diagonal: weight of squared distances of variances from 1; by default ten times
            the other.

    Returns:
        The loss and its terms, in nats per image. Covariances are the batch's, divided
        by b.

    Raises:
        ValueError: for weights that are not one number each.

    Reference: Kumar, Sattigeri and Balakrishnan (2018).
    """
    diagonal = 10 * off_diagonal if diagonal is None else diagonal
    covariance = _covariance(outputs.mean)
    return _loss(outputs, covariance, off_diagonal, diagonal)


def dip_vae_ii(
    outputs: Outputs,
    *,
    off_diagonal: float | Array,
    diagonal: float | Array | None = None,
) -> tuple[Float[Array, ""], DIPVAETerms]:
    """Reconstruction + KL + the penalty on the covariance of the aggregate posterior.

    That covariance is the means' plus the mean posterior variances on the diagonal.

    Args:
        outputs: outputs of a VAE.
        off_diagonal: weight of squared covariances.
        diagonal: weight of squared distances of variances from 1; by default the same.

    Returns:
        The loss and its terms, in nats per image. Covariances are the batch's, divided
        by b.

    Raises:
        ValueError: for weights that are not one number each.

    Reference: Kumar, Sattigeri and Balakrishnan (2018).
    """
    diagonal = off_diagonal if diagonal is None else diagonal
    variances = jnp.mean(jnp.exp(outputs.log_variance), axis=0)
    covariance = _covariance(outputs.mean) + jnp.diag(variances)
    return _loss(outputs, covariance, off_diagonal, diagonal)


def _covariance(mean: Float[Array, "b k"]) -> Float[Array, "k k"]:
    centered = mean - jnp.mean(mean, axis=0, keepdims=True)
    return centered.T @ centered / len(mean)


def _loss(
    outputs: Outputs,
    covariance: Float[Array, "k k"],
    off_diagonal: float | Array,
    diagonal: float | Array,
) -> tuple[Float[Array, ""], DIPVAETerms]:
    loss, (reconstruction, kl) = beta_vae(outputs)
    if outputs.present is not None:
        # An absent latent has the covariance that costs nothing.
        both_present = outputs.present[:, None] & outputs.present[None]
        none = jnp.eye(len(covariance), dtype=covariance.dtype)
        covariance = jnp.where(both_present, covariance, none)
    penalty = dip_penalty(covariance, off_diagonal=off_diagonal, diagonal=diagonal)
    return loss + penalty, DIPVAETerms(reconstruction, kl, penalty)
