"""Coefficients that change with the step."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvae.typing import ArrayLike


def linear_ramp(
    step: int | Int[Array, ""], *, end: float | Array, steps: int | ArrayLike
) -> Float[Array, "*l"]:
    """From 0 at step 0 to `end` at `steps`, and `end` from there on; both may be one a layer.

    The warm-up of beta (Bowman et al. 2016) and the capacity of an annealed VAE (Burgess
    et al. 2018).
    """
    return end * jnp.minimum(jnp.asarray(step) / steps, 1.0)
