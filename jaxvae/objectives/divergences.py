"""Divergences between a posterior and its prior, in nats."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.models.likelihoods import standardized


def gaussian_kl(mean: Float[Array, "*n"], log_variance: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """KL divergence of `N(mean, exp(log_variance))` from `N(0, 1)`, per dimension.

    `(mean^2 + s^2 - log s^2 - 1) / 2` nats, per example and dimension: sum over
    dimensions for the rate of an example. Never negative but for rounding; zero where
    the posterior is the prior, NaN where an argument is. Written with `expm1`, so that
    near zero it is off by less than 3e-7 of the log-variance; it overflows to infinity
    for log-variances above 88.

    Reference: Kingma and Welling (2014).
    """
    return (mean**2 + jnp.expm1(log_variance) - log_variance) / 2


def gaussian_kl_between(
    mean: Float[Array, "*n"],
    log_variance: Float[Array, "*n"],
    prior_mean: Float[Array, "*n"],
    prior_log_variance: Float[Array, "*n"],
) -> Float[Array, "*n"]:
    """KL divergence of one Gaussian from another, per dimension, in nats.

    `gaussian_kl` in the units of the prior, so with its range and its care near zero.

    Reference: Kullback and Leibler (1951).
    """
    shift = standardized(mean, prior_mean, prior_log_variance)
    return gaussian_kl(shift, log_variance - prior_log_variance)
