"""Statistics of whole clouds, of which tests ask for an error or a null."""

import jax
import jax.numpy as jnp

from jaxvae.metrics import two_nn


def mean(x):
    return jnp.mean(x)


def dimension(x):
    return two_nn(x).value


@jax.jit
def linear_cka(x, y):
    """By its formula alone, which compiles to one small program."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return jnp.sum((x.T @ y) ** 2) / jnp.sqrt(jnp.sum((x.T @ x) ** 2) * jnp.sum((y.T @ y) ** 2))
