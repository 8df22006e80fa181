"""Coefficients that change with the step."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def linear_ramp(
    step: int | Int[Array, ""], *, end: float | Array, steps: int | Array
) -> Float[Array, ""]:
    """From 0 at step 0 to `end` at `steps`, and `end` from there on.

    The warm-up of beta (Bowman et al. 2016) and the capacity of an annealed VAE (Burgess
    et al. 2018).
    """
    return end * jnp.minimum(jnp.asarray(step) / steps, 1.0)
