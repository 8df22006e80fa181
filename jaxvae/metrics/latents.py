"""What the single latents of a model carry."""

import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxvae.typing import ArrayLike


def active_units(means: ArrayLike, *, threshold: float = 0.01) -> Bool[Array, " k"]:
    """Which latents vary with the data: `Var_x(E[z | x]) > threshold`.

    Args:
        means: `[n, k]`, posterior means of n examples.
        threshold: in squared units of the latent, whose prior variance is 1.

    Returns:
        Boolean `[k]`; its sum is the number of active units. The variance
        divides by n; a constant latent is never active, nor is one with NaN.

    Raises:
        ValueError: for means that are not `[n, k]` with n >= 2.

    Reference: Burda, Grosse and Salakhutdinov (2016).
    """
    means = jnp.asarray(means, jnp.float32)
    if means.ndim != 2 or len(means) < 2:
        raise ValueError(f"expected means [n >= 2, k], got shape {means.shape}")
    # Off the first example: the mean of a large constant would not be that constant.
    return jnp.var(means - means[0], axis=0) > threshold
