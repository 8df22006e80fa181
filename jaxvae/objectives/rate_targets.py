"""A hierarchy that is asked for its rates, or for its distortion."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxvae.models.hvae import HierarchyOutputs
from jaxvae.objectives.hierarchical_vae import layer_rates
from jaxvae.objectives.multipliers import LayerMultipliers, Multiplier


class RateTargetsTerms(NamedTuple):
    """The parts of the loss, batch means in nats per image, and its prices.

    Attributes:
        reconstruction: `[]`, negative log-likelihood, summed over pixels: the distortion D.
        rates: `[l]`, R_l of every layer, from the top to the bottom.
        beta: `[l]`, the price of a nat in every layer.
    """

    reconstruction: Float[Array, ""]
    rates: Float[Array, " l"]
    beta: Float[Array, " l"]


class DistortionTargetTerms(NamedTuple):
    """The parts of the loss, batch means in nats per image, and its weight.

    Attributes:
        reconstruction: `[]`, negative log-likelihood, summed over pixels: the distortion D.
        rates: `[l]`, R_l of every layer, from the top to the bottom.
        weight: `[]`, of the distortion; its inverse multiplies all prices.
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
    """D + sum_l beta_l (R_l - T_l) + penalty / 2 (R_l - T_l)^2: rates as they are asked for.

    The augmented Lagrangian of the smallest distortion at the rates T. The prices beta are
    its multipliers: `vae_trainer(..., multipliers={"beta": 0.001})` raises that of a layer
    above its target and lowers that of one below. Where prices are equal, any split of the
    rate is optimal, and prices alone would chatter from layer to layer; the penalty makes the
    targets the one optimum.

    Args:
        outputs: of an HVAE.
        targets: nats in every layer, from the top to the bottom; NaN for a layer without a
            target, whose price stays as it is.
        beta: price of a nat in every layer.
        penalty: per square nat, of the distance from the targets.

    Returns:
        The loss and its terms.

    Raises:
        ValueError: unless there are as many targets and prices as layers.

    Reference: augmented Lagrangian, Hestenes (1969) and Powell (1969); rates by layer, Xiao
    and Bamler (2023).
    """
    reconstruction, rates = jnp.mean(outputs.nll), jnp.mean(layer_rates(outputs), axis=0)
    # Of one layer, a number will do.
    targets, prices = jnp.atleast_1d(jnp.asarray(targets)), jnp.atleast_1d(jnp.asarray(beta))
    for name, values in (("targets", targets), ("beta", prices)):
        if values.shape != rates.shape:
            raise ValueError(
                f"expected {name} for each of {len(rates)} layers, got shape {values.shape}"
            )
    asked = ~jnp.isnan(targets)
    excess = jnp.where(asked, rates - jnp.where(asked, targets, 0.0), 0.0)
    # Without a target, a price is a constant: its slope is zero, and it stays.
    paid = jnp.where(asked, prices * excess, lax.stop_gradient(prices) * rates)
    loss = reconstruction + jnp.sum(paid + penalty / 2 * excess**2)
    return loss, RateTargetsTerms(reconstruction, rates, prices)


def distortion_target(
    outputs: HierarchyOutputs,
    *,
    target: float | Array,
    weight: Multiplier = 1.0,  # type: ignore[assignment]
    beta: float | Float[Array, "*l"] = 1.0,
    penalty: float | Array = 0.02,
) -> tuple[Float[Array, ""], DistortionTargetTerms]:
    """The rates that a distortion costs: weight (D - T) + penalty / 2 (D - T)^2 + sum_l beta_l R_l.

    The augmented Lagrangian of the smallest priced rate at the distortion T; the weight is
    its multiplier: `vae_trainer(..., multipliers={"weight": 0.001})`. In the end the rates
    are those of `hierarchical_vae` at prices of `beta / weight`.

    Args:
        outputs: of an HVAE.
        target: negative log-likelihood, summed over pixels, in nats per image.
        weight: of the distortion.
        beta: price of a nat in every layer against those in the others, from the top to the
            bottom, or in all.
        penalty: per square nat, of the distance from the target.

    Returns:
        The loss and its terms.

    Reference: constrained reconstruction, Rezende and Viola (2018).
    """
    reconstruction, rates = jnp.mean(outputs.nll), jnp.mean(layer_rates(outputs), axis=0)
    excess = reconstruction - target
    loss = weight * excess + penalty / 2 * excess**2 + jnp.sum(beta * rates)
    return loss, DistortionTargetTerms(reconstruction, rates, jnp.asarray(weight))
