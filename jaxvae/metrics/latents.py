"""Which latents of a model are active, and of which type they are."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxvae.geometry.arrays import as_array
from jaxvae.geometry.float32 import from_first_row
from jaxvae.geometry.host import as_results, numpy_of
from jaxvae.typing import ArrayLike, EitherArray

# A posterior variance whose variance over the data is below this is constant.
_CONSTANT = 0.1
_LARGEST_ACTIVE = 0.1
# A passive variance is within 0.1 of the prior's; as a range, because abs(0.9 - 1) is above 0.1 in
# float32.
_PASSIVE = 0.9, 1.1


class LatentTypes(NamedTuple):
    """Boolean masks `[k]`, one of which is true for every latent without NaN.

    Attributes:
        active: known precisely for every example: the latent carries information.
        mixed: anything between: known for some examples, or known roughly.
        passive: as wide as the prior for every example: the latent carries no more than its mean
            varies, which is nothing after long training.
    """

    active: Bool[Array, " k"]
    mixed: Bool[Array, " k"]
    passive: Bool[Array, " k"]


def active_units(means: ArrayLike, *, threshold: float = 0.01) -> Bool[Array, " k"]:
    """Whether each latent varies with the data: `Var_x(E[z | x]) > threshold`.

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
    means = as_array(means)
    if means.ndim != 2 or len(means) < 2:
        raise ValueError(f"expected means [n >= 2, k], got shape {means.shape}")
    # Means are taken as differences from the first example: rounded, the mean of a large constant
    # would not be that constant.
    with np.errstate(over="ignore", invalid="ignore"):
        return as_results(from_first_row(means).var(axis=0) > threshold)


def latent_types(variances: ArrayLike) -> LatentTypes:
    """Whether each latent is active, mixed or passive, by its posterior variances.

    Over the examples x, of the posterior variance `s2(x)` of a latent:

        active:  `Var s2 < 0.1` and `E s2 <= 0.1`,
        passive: `Var s2 < 0.1` and `|E s2 - 1| <= 0.1`,
        mixed:   otherwise.

    A prior of variance 1 is assumed; the variance divides by n.

    Args:
        variances: `[n, k]`, posterior variances (not log variances, not standard
            deviations) of n examples.

    Returns:
        `LatentTypes`; the sums of the masks count the latents. One with NaN is
        of no type; one with an infinite variance is mixed.

    Raises:
        ValueError: for variances that are not `[n >= 2, k]`, or are negative
            (which cannot be seen while a function is traced).

    Reference: Bonheme and Grzes (2022); Rolinek, Zietlow and Martius (2019).
    """
    variances = as_array(variances)
    if variances.ndim != 2 or len(variances) < 2:
        raise ValueError(f"expected variances [n >= 2, k], got shape {variances.shape}")
    if isinstance(variances, jax.core.Tracer):
        return _sort_latents(variances.astype(jnp.float32))
    # On the host: on the device every shape would need a program of its own.
    known = np.asarray(variances)
    if (known < 0).any():
        raise ValueError(
            f"expected variances >= 0, got {known.min()}; pass jnp.exp of log variances"
        )
    return as_results(_sort_latents(known.astype(np.float64)))


def _sort_latents(variances: Float[EitherArray, "n k"]) -> LatentTypes:
    with np.errstate(over="ignore", invalid="ignore"):
        # The mean is taken of differences from the first example: rounded, the mean of a constant
        # would not be that constant.
        deviations = variances - variances[:1]
        mean = (variances[0] + deviations.mean(axis=0)).astype(np.float32)
        constant = deviations.var(axis=0).astype(np.float32) < _CONSTANT
    active = constant & (mean <= _LARGEST_ACTIVE)
    passive = constant & (mean >= _PASSIVE[0]) & (mean <= _PASSIVE[1])
    mixed = ~active & ~passive & ~numpy_of(variances).isnan(variances).any(axis=0)
    return LatentTypes(active, mixed, passive)
