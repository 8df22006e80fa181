"""The least rate at which Gaussian data can be described, and its error."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvae.geometry.arrays import as_array, as_float64
from jaxvae.geometry.distances import refuse_overflow
from jaxvae.geometry.host import numpy_of
from jaxvae.typing import ArrayLike


class RateDistortion(NamedTuple):
    """An optimal description of a Gaussian source.

    Attributes:
        rate: `[]`, nats per example, the sum of `rates`.
        distortion: `[]`, expected squared error per example, summed over
            directions, in squared units of the data.
        rates: `[d]`, nats spent on every direction.
    """

    rate: Float[Array, ""]
    distortion: Float[Array, ""]
    rates: Float[Array, " d"]


def water_filling(eigenvalues: ArrayLike, *, level: ArrayLike | float) -> RateDistortion:
    """Rate and distortion of the linear-Gaussian optimum, by reverse water-filling.

    A direction of variance `lambda` above the water level w is described with
    `log(lambda / w) / 2` nats and an error of w; one below it not at all, with
    an error of `lambda`:

        `R = sum_i max(0, log(lambda_i / w) / 2)`, `D = sum_i min(lambda_i, w)`.

    It is what a linear VAE with one layer, likelihood `N(W z, s2)` and weight
    beta on the rate reaches at best with `w = beta s2`, the error being that of
    a reconstruction from sampled z.

    Args:
        eigenvalues: `[d]` of the data's covariance, in any order. Take the
            small negative ones of a numerical decomposition as zero first.
        level: the water level w > 0, in the same units; `beta s2` for a VAE.

    Returns:
        `RateDistortion`; the rate in nats, 0 where w is at least the largest
        eigenvalue. As w falls by a factor of e it grows by half a nat for each
        eigenvalue above w. Those of zero (constant directions) cost nothing.
        Scaling both arguments changes only the distortion. Beside a traced level, the
        rate of an eigenvalue above 1e76, or 1e76 times the level, is infinite.

    Raises:
        ValueError: for eigenvalues that are not `[d]` or are negative, NaN or
            infinite, for a level that is not one positive number, and for a
            distortion above the largest float32.

    Reference: Cover and Thomas (2006), section 10.3.3; Lucas, Tucker, Grosse and
    Norouzi (2019) for the linear VAE.
    """
    spectrum, height = _checked_eigenvalues(eigenvalues), _checked_level(level)
    # Divided before it becomes float32, in which a variance of 1e-44 is zero; the root
    # of a ratio of any two float32 is a float32, that of two float64 need not be.
    ratios = _root(spectrum) / height**0.5
    numpy = numpy_of(ratios)
    rates = numpy.log(numpy.maximum(ratios, 1.0))
    # Beside a traced level, a variance above the largest float32 becomes infinite.
    with np.errstate(over="ignore"):
        errors = numpy.minimum(spectrum, height)
        if numpy is np:
            refuse_overflow(errors.sum().astype(np.float32), "distortions")
    return _summed(jnp.asarray(rates, jnp.float32), jnp.asarray(errors, jnp.float32))


@jax.jit
def _summed(rates: Float[Array, " d"], errors: Float[Array, " d"]) -> RateDistortion:
    return RateDistortion(jnp.sum(rates), jnp.sum(errors), rates)


def _root(eigenvalues: ArrayLike) -> ArrayLike:
    """Square roots, whose derivative at 0 counts as 0: it is infinite, and no rate needs it."""
    numpy, positive = numpy_of(eigenvalues), eigenvalues > 0
    return numpy.where(positive, numpy.where(positive, eigenvalues, 1.0) ** 0.5, 0.0)


def _checked_eigenvalues(eigenvalues: ArrayLike) -> ArrayLike:
    eigenvalues = as_array(eigenvalues)
    shape = eigenvalues.shape
    if len(shape) != 1 or 0 in shape:
        raise ValueError(f"expected eigenvalues [d], got shape {shape}")
    if isinstance(eigenvalues, jax.core.Tracer):
        return eigenvalues.astype(jnp.float32)
    wide = as_float64(eigenvalues)
    bad = ~((wide >= 0) & (wide < np.inf))
    if bad.any():
        raise ValueError(f"expected eigenvalues >= 0 and finite, got {wide[bad][0]}")
    return wide


def _checked_level(level: ArrayLike | float) -> ArrayLike:
    level = as_array(level)
    if level.shape != ():
        raise ValueError(f"expected one level, got shape {level.shape}; use vmap for several")
    if isinstance(level, jax.core.Tracer):
        return level.astype(jnp.float32)
    if not 0 < float(level) < np.inf:
        raise ValueError(f"expected a finite level > 0, got {level}")
    return as_float64(level)
