"""Objectives that train a hierarchy to given rates, or to a given distortion."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxvae.models.hierarchy import HierarchyOutputs
from jaxvae.objectives.coefficients import one_or_each, refuse_several
from jaxvae.objectives.hierarchical_vae import layer_rates
from jaxvae.objectives.multipliers import LayerMultipliers, Multiplier
from jaxvae.typing import ArrayLike


class RateTargetsTerms(NamedTuple):
    """The parts of the loss, batch means in nats per image, and its betas.

    Attributes:
        reconstruction: `[]`, negative log-likelihood, summed over pixels: the distortion D.
        rates: `[l]`, R_l of every layer, from the top to the bottom.
        beta: `[l]`, the weight of the rate of every layer.
    """

    reconstruction: Float[Array, ""]
    rates: Float[Array, " l"]
    beta: Float[Array, " l"]


class DistortionTargetTerms(NamedTuple):
    """The parts of the loss, batch means in nats per image, and its weight.

    Attributes:
        reconstruction: `[]`, negative log-likelihood, summed over pixels: the distortion D.
        rates: `[l]`, R_l of every layer, from the top to the bottom.
        weight: `[]`, weight of the distortion; its inverse multiplies all betas.
    """

    reconstruction: Float[Array, ""]
    rates: Float[Array, " l"]
    weight: Float[Array, ""]


def rate_targets(
    outputs: HierarchyOutputs,
    *,
    targets: Float[Array, " l"],
    beta: LayerMultipliers = 1.0,  # type: ignore[assignment]
    penalty: float | Array = 0.2,
) -> tuple[Float[Array, ""], RateTargetsTerms]:
    """Reaches given rates R_l = T_l: D + sum_l beta_l (R_l - T_l) + penalty / 2 (R_l - T_l)^2.

    This is the augmented Lagrangian of the smallest distortion at the rates T. The betas are its
    multipliers: `vae_trainer(..., multipliers={"beta": 0.001})` raises the beta of a layer whose
    rate is above its target and lowers that of a layer below. Where betas are equal, any split of
    the rate is optimal, and with betas alone the rate would move back and forth between layers;
    the penalty makes the targets the one optimum.

    Args:
        outputs: outputs of an HVAE.
        targets: nats in every layer, from the top to the bottom; NaN for a layer without a
            target, whose beta stays as it is.
        beta: weight of the rate of every layer, from the top to the bottom, or one of all layers.
            As a multiplier of `vae_trainer`, which may start with one number, every layer has its
            own.
        penalty: weight of the squared distance from the targets, per square nat.

    Returns:
        The loss and its terms.

    Raises:
        ValueError: unless there are as many targets as layers; for beta that is neither one
            number nor one for every layer, and a penalty that is not one number.

    Reference: augmented Lagrangian, Hestenes (1969) and Powell (1969); rates by layer, Xiao
    and Bamler (2023).
    """
    reconstruction, rates = jnp.mean(outputs.nll), jnp.mean(layer_rates(outputs), axis=0)
    refuse_several({"penalty": penalty})
    # A plain number will do as the target of a single layer.
    targets = jnp.atleast_1d(jnp.asarray(targets, rates.dtype))
    if targets.shape != rates.shape:
        raise ValueError(
            f"expected targets for each of {len(rates)} layers, got shape {targets.shape}"
        )
    betas = jnp.broadcast_to(one_or_each("beta", beta, rates, of="layers"), rates.shape)
    has_target = ~jnp.isnan(targets)
    excess = jnp.where(has_target, rates - jnp.where(has_target, targets, 0.0), 0.0)
    # Without a target, a beta is a constant: its slope is zero, and it stays.
    weighted = jnp.where(has_target, betas * excess, lax.stop_gradient(betas) * rates)
    loss = reconstruction + jnp.sum(weighted + penalty / 2 * excess**2)
    return loss, RateTargetsTerms(reconstruction, rates, betas)


def distortion_target(
    outputs: HierarchyOutputs,
    *,
    target: float | Array,
    weight: Multiplier = 1.0,  # type: ignore[assignment]
    beta: float | Float[ArrayLike, "*l"] = 1.0,
    penalty: float | Array = 0.02,
) -> tuple[Float[Array, ""], DistortionTargetTerms]:
    """Reaches a distortion D = T: weight (D - T) + penalty / 2 (D - T)^2 + sum_l beta_l R_l.

    This is the augmented Lagrangian of the smallest weighted rate at the distortion T; the weight
    is its multiplier: `vae_trainer(..., multipliers={"weight": 0.001})`. In the end the rates are
    those of `hierarchical_vae` with a beta of `beta / weight`.

    Args:
        outputs: outputs of an HVAE.
        target: negative log-likelihood, summed over pixels, in nats per image.
        weight: weight of the distortion.
        beta: weight of the rate of every layer against those of the others, from the top to the
            bottom, or one of all layers.
        penalty: weight of the squared distance from the target, per square nat.

    Returns:
        The loss and its terms.

    Raises:
        ValueError: for beta that is neither one number nor one for every layer, and a target,
            weight or penalty that is not one number.

    Reference: constrained reconstruction, Rezende and Viola (2018).
    """
    reconstruction, rates = jnp.mean(outputs.nll), jnp.mean(layer_rates(outputs), axis=0)
    refuse_several({"target": target, "weight": weight, "penalty": penalty})
    excess = reconstruction - target
    weighted = jnp.sum(one_or_each("beta", beta, rates, of="layers") * rates)
    loss = weight * excess + penalty / 2 * excess**2 + weighted
    return loss, DistortionTargetTerms(reconstruction, rates, jnp.asarray(weight, rates.dtype))
