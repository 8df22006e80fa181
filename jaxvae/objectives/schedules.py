"""Coefficients that change with the step."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvae.typing import ArrayLike


def linear_ramp(
    step: int | Int[Array, ""], *, end: float | Array, steps: int | ArrayLike
) -> Float[Array, "*l"]:
    """A linear ramp from 0 at step 0 to `end` at `steps`, constant from there on.

    Both may be one number or one for every layer. Where `steps` is 0 there is no ramp: it is at
    its end from the start.

    The warm-up of beta (Bowman et al. 2016) and the capacity of an annealed VAE (Burgess
    et al. 2018).
    """
    step, steps = jnp.asarray(step), jnp.asarray(steps)
    return end * jnp.where(step < steps, step / jnp.maximum(steps, 1), 1.0)
