"""Nats of information: the accuracy that they allow, and the quality of samples that have them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import xlog1py, xlogy
from jaxtyping import Array, Float

from jaxvae.geometry.arrays import as_array, as_float64
from jaxvae.typing import ArrayLike

_HALVINGS = 40
# Information below the rounding of nats near 1 in float32 is none.
_NO_NATS = 2.0**-23
# Rounding in float16 moves the sum of a few thousand probabilities by up to this.
_SUM_TOLERANCE = 1e-3
_ABOVE_MINUS_ONE = np.nextafter(np.float32(-1), np.float32(0))
_SERIES_BELOW, _SERIES_TERMS = 0.25, 12


def accuracy_bound(
    information: ArrayLike | float, label_probabilities: ArrayLike
) -> Float[Array, "..."]:
    """Largest accuracy that any classifier reaches with so much information (Fano).

    The inverse, on accuracies from 1/M to 1, of

        `f(a) = H(Y) + a log a + (1 - a) log((1 - a) / (M - 1))`

    with M classes and label entropy H(Y): a prediction made from Z is right
    with probability at most `f^-1(I(Y; Z))`, and any upper bound on I, such as
    the rate of a latent, bounds it too. It holds for classifiers of a *sample*
    of z, not of its mean. With unbalanced classes it is loose near zero nats:
    above the share of the largest class, which is reached knowing nothing.

    It is differentiable in both arguments, as the inverse of f: by the nats,
    `1 / log(a (M - 1) / (1 - a))`. They count as 0 where the bound is 1, and up to 1.2e-7
    nats above f(1/M), where they would grow without limit. That of H(Y) by a probability of
    0, which is infinite, counts as some finite number.

    Args:
        information: nats, of any shape; also an estimate below zero.
        label_probabilities: `[M]`, M >= 2, normalized here by their sum.

    Returns:
        Accuracies, of the shape of `information`, within 2e-7: 1 from H(Y) nats
        up, and 1/M from `f(1/M) = H(Y) - log M <= 0` nats down. Near f(1/M), where
        the accuracy grows as the root of the nats, float32 leaves 3e-4. NaN for NaN
        in traced input.

    Raises:
        ValueError: for NaN information, and probabilities that are not `[M]`,
            are negative or NaN, or do not sum to one within 1e-3.

    Reference: Fano (1961); Xiao and Bamler (2023) for the layers of a VAE.
    """
    shares = _checked_probabilities(label_probabilities, "label_probabilities [M >= 2]", axes=1)
    nats = _checked(information, "information", -np.inf, np.inf)
    return _largest_accuracy(jnp.asarray(nats, jnp.float32), shares)


def information_for_accuracy(
    accuracy: ArrayLike | float, label_probabilities: ArrayLike
) -> Float[Array, "..."]:
    """Least information about the label with which an accuracy can be reached (Fano).

    `f(a)` of `accuracy_bound`, whose inverse it is.

    Args:
        accuracy: from chance, 1/M, to 1, of any shape.
        label_probabilities: `[M]`, M >= 2, normalized here by their sum.

    Returns:
        Nats, of the shape of `accuracy`, within 3e-6: H(Y) at accuracy 1; zero
        or less where unbalanced classes let the bound be met with nothing.

    Raises:
        ValueError: for accuracies outside [1/M, 1] or NaN, and probabilities
            that are not `[M]`, are negative or NaN, or do not sum to one.

    Reference: Fano (1961).
    """
    shares = _checked_probabilities(label_probabilities, "label_probabilities [M >= 2]", axes=1)
    checked = _checked(accuracy, "accuracy", 1 / len(shares), 1)
    # Subtracted before it becomes float32, as the result is quadratic in it.
    return _least_information(jnp.asarray(checked - 1 / len(shares), jnp.float32), shares)


def inception_score(probabilities: ArrayLike) -> Float[Array, ""]:
    """Inception score of samples: diversity times sharpness of their classification.

    `exp I(y; x) = exp(mean_i KL(p_i || mean_j p_j))`, the p_i being what a
    classifier says of sample i. It equals `exp H(mean p)` (diversity) times
    `exp(-mean H(p))` (sharpness). For error bars split the samples and map.

    Args:
        probabilities: `[n, M]`, one row a sample; M >= 2.

    Returns:
        `[]`, from 1 (all rows equal) to M (every row certain, classes equally
        frequent). With few samples it is biased downwards.

    Raises:
        ValueError: for probabilities that are not `[n, M]`, are negative or NaN,
            or do not sum to one in every row within 1e-3.

    Reference: Salimans et al. (2016).
    """
    return _score(_checked_probabilities(probabilities, "probabilities [n, M >= 2]", axes=2))


@jax.jit
def _score(probabilities: Float[Array, "n m"]) -> Float[Array, ""]:
    marginal = jnp.mean(probabilities, axis=0)
    divergence = xlogy(probabilities, probabilities) - xlogy(probabilities, marginal[None])
    return jnp.exp(jnp.maximum(jnp.mean(jnp.sum(divergence, axis=1)), 0.0))


@jax.jit
def _least_information(above: Float[Array, "..."], shares: Float[Array, " m"]) -> Array:
    return _divergence(above, len(shares)) - _missing_entropy(shares)


@jax.jit
def _largest_accuracy(information: Float[Array, "..."], shares: Float[Array, " m"]) -> Array:
    classes = len(shares)
    target = information + _missing_entropy(shares)
    certain = target >= np.float32(np.log(classes))
    return jnp.where(certain, 1.0, 1 / classes + _above_chance(target, classes))


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _above_chance(target: Float[Array, "..."], classes: int) -> Float[Array, "..."]:
    """Where `_divergence` is `target`: 0 below, and NaN for NaN."""

    def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = (low + high) / 2
        reached = _divergence(middle, classes) <= target
        return jnp.where(reached, middle, low), jnp.where(reached, high, middle)

    ends = jnp.zeros_like(target), jnp.full_like(target, 1 - 1 / classes)
    above, _ = lax.fori_loop(0, _HALVINGS, halve, ends)
    return jnp.where(jnp.isnan(target), jnp.nan, above)


@_above_chance.defjvp
def _above_chance_and_tangent(
    classes: int, targets: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    # Halving has no derivative; the divergence, whose inverse it finds, has one.
    above = _above_chance(*targets, classes)
    at_chance = targets[0] <= _NO_NATS
    excess = classes * jnp.where(at_chance, 1.0, above)
    wrong = jnp.maximum(-excess / (classes - 1), _ABOVE_MINUS_ONE)
    slope = jnp.log1p(excess) - jnp.log1p(wrong)
    return above, jnp.where(at_chance, 0.0, tangents[0] / slope)


def _divergence(above: Float[Array, "..."], classes: int) -> Float[Array, "..."]:
    """`f(a) + log M - H(Y)` at `a = 1/M + above`: a divergence from chance.

    Written so that it keeps its relative accuracy near chance, where it is
    quadratic: the accuracy found there would be off by the root of its error.
    """
    right = _relative_entropy(classes * above)
    wrong = _relative_entropy(jnp.maximum(-classes / (classes - 1) * above, -1.0))
    return (right + (classes - 1) * wrong) / classes


def _missing_entropy(shares: Float[Array, " m"]) -> Float[Array, ""]:
    """`log M - H(Y)`, by the same sum."""
    return jnp.mean(_relative_entropy(len(shares) * shares / jnp.sum(shares) - 1))


def _relative_entropy(excess: Float[Array, "..."]) -> Float[Array, "..."]:
    """`(1 + e) log(1 + e) - e`, e >= -1, by its series where the terms cancel."""
    order = np.arange(_SERIES_TERMS, 1, -1)
    coefficients = jnp.asarray((-1.0) ** order / (order * (order - 1)), jnp.float32)
    series = excess**2 * jnp.polyval(coefficients, excess)
    # A compiler may take 1 + e from what e is made of, and not find 0 where e is -1.
    product = xlog1py(1 + excess, jnp.maximum(excess, _ABOVE_MINUS_ONE))
    closed = jnp.where(excess > -1, product, 0.0) - excess
    return jnp.where(jnp.abs(excess) < _SERIES_BELOW, series, closed)


def _checked(values: ArrayLike | float, name: str, low: float, high: float) -> ArrayLike:
    values = as_array(values)
    if isinstance(values, jax.core.Tracer):
        return values
    wide = as_float64(values)
    # One rounding of float32: chance itself is not below chance.
    outside = ~((wide >= low - 1e-6) & (wide <= high + 1e-6))
    if outside.any():
        raise ValueError(f"expected {name} from {low:.6g} to {high:.6g}, got {wide[outside][0]}")
    return wide


def _checked_probabilities(probabilities: ArrayLike, expected: str, *, axes: int) -> Array:
    probabilities = as_array(probabilities)
    shape = probabilities.shape
    if len(shape) != axes or 0 in shape or shape[-1] < 2:
        raise ValueError(f"expected {expected}, got shape {shape}")
    if not isinstance(probabilities, jax.core.Tracer):
        wide = as_float64(probabilities)
        if not (wide >= 0).all():
            raise ValueError(f"expected {expected} >= 0, got {wide[~(wide >= 0)][0]}")
        off = np.abs(wide.sum(axis=-1) - 1)
        if not (off <= _SUM_TOLERANCE).all():
            raise ValueError(f"expected {expected} that sum to one, got a sum off by {off.max()}")
    return jnp.asarray(probabilities, jnp.float32)
