"""Mutual information of the top layer with the images, from all their posteriors together."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from jaxvae.analysis.estimate import Estimate, mean_estimate
from jaxvae.files.refusals import as_count
from jaxvae.geometry.arrays import as_classes, as_float64
from jaxvae.geometry.float32 import central_value
from jaxvae.models.likelihoods import gaussian_log_density
from jaxvae.typing import ArrayLike

_Pair = tuple[np.ndarray, np.ndarray]


class AggregateInformation(NamedTuple):
    """The two parts of the sampled rate of a layer, nats, with standard errors over samples.

    Attributes:
        information: I(x; z), between the image and its sample; at most log n, and below zero only
            by chance.
        mismatch: KL(q(z) || p(z)), of the aggregate posterior from the prior: the part of the
            rate that carries no information on the image, and the error of samples drawn from
            the prior. The two parts add up to the sampled rate,
            `mean(log q(z | x) - log p(z))`, whose expectation is R.
        label_information: I(y; z), between the label and the sample, in expectation at most the
            `information`; None without labels.
    """

    information: Estimate
    mismatch: Estimate
    label_information: Estimate | None


def aggregate_information(
    samples: ArrayLike,
    means: ArrayLike,
    log_variances: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    prior_mean: float | ArrayLike = 0.0,
    prior_log_variance: float | ArrayLike = 0.0,
    batch_size: int = 100,
) -> AggregateInformation:
    """Mutual information of a layer with its image, and the mismatch with its prior.

    With q(z) the mixture `sum_j q(z | x_j) / n` of all n posteriors,

        `I(x; z) = mean_i log q(z_i | x_i) / q(z_i)`,
        `KL(q(z) || p(z)) = mean_i log q(z_i) / p(z_i)`,

    and, where there are labels, `I(y; z) = mean_i log q(z_i | y_i) / q(z_i)` with q(z | y)
    the mixture over the images of that label.

    For an image drawn from these n the estimates are unbiased, and so the accuracy of any
    classifier of the samples of these images is bounded through them. As estimates for the
    distribution that the images come from, the information is biased downwards: it is never
    above log n, at which it stays where posteriors do not overlap. Then the mismatch is too
    large by as much, and I(y; z) is no more than the entropy of the labels. Use it where
    the information is well below log n.

    It is meant for the top layer, whose posterior depends on the image alone. Below it, use
    the sum of the rates. In other units and from another origin it is the same where the prior
    moves along. Memory grows as `batch_size * n * k`, time as `n^2 k`. For estimates from a
    batch during training: `jaxvae.objectives.minibatch_stratified`.

    Args:
        samples: `[n, ...]`, one of every posterior.
        means: `[n, ...]` of the posteriors.
        log_variances: `[n, ...]`, logarithms of their variances.
        labels: `[n]`, a class of every image, of any hashable type, or None.
        prior_mean: mean of the prior, one number or `[...]` of an example.
        prior_log_variance: the logarithm of its variance, likewise.
        batch_size: samples at a time.

    Returns:
        `AggregateInformation`. The errors are those of the samples, the mixture taken as it
        is. Posteriors that are all the same give exactly 0 information.

    Raises:
        ValueError: for shapes that differ, labels that are not `[n]`, no examples, values
            that are not finite, samples that cannot be of their posteriors, and a batch_size
            below 1.

    Reference: Hoffman and Johnson (2016); Xiao and Bamler (2023).
    """
    batch_size = as_count(
        batch_size, f"expected a batch_size of at least 1, got {batch_size}", least=1
    )
    z, *posterior = _checked(samples, means, log_variances)
    given = [_row(value, z.shape[1]) for value in (prior_mean, prior_log_variance)]
    z, (mean, log_variance), prior = _in_float32(z, posterior, given)
    classes = np.zeros(len(z), np.int32) if labels is None else as_classes(labels, len(z))
    information, shared = _ratios(z, mean, log_variance, classes, batch_size=batch_size)
    sampled_rate = np.asarray(_sampled_rates(z, (mean, log_variance), prior), np.float64)
    nats = np.asarray(information, np.float64)
    if not np.isfinite(nats).all():
        raise ValueError(
            "expected samples of the posteriors, got one more than 1e18 deviations from its mean"
        )
    return AggregateInformation(
        mean_estimate(nats),
        mean_estimate(sampled_rate - nats),
        None if labels is None else mean_estimate(np.asarray(shared, np.float64)),
    )


@partial(jax.jit, static_argnames="batch_size")
def _ratios(
    samples: Float[Array, "n k"],
    means: Float[Array, "n k"],
    log_variances: Float[Array, "n k"],
    classes: Int[Array, " n"],
    *,
    batch_size: int,
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """For every sample, `log q(z_i | x_i) / q(z_i)` and `log q(z_i | y_i) / q(z_i)`."""
    # Also where nothing is compiled, as in `jax.disable_jit`.
    samples, means, log_variances = map(jnp.asarray, (samples, means, log_variances))
    classes, n = jnp.asarray(classes), len(samples)

    def one(index: Int[Array, ""]) -> tuple[Array, Array]:
        densities = gaussian_log_density(samples[index][None], means, log_variances)
        # Against its own posterior: equal ones give 0, and distant ones log n, exactly.
        relative = jnp.sum(densities - densities[index][None], axis=1)
        alike = classes == classes[index]
        every = jax.nn.logsumexp(relative) - math.log(n)
        within = jax.nn.logsumexp(relative, where=alike) - jnp.log(jnp.sum(alike))
        return -every, within - every

    return lax.map(one, jnp.arange(n), batch_size=min(batch_size, n))


@jax.jit
def _sampled_rates(
    samples: Float[Array, "n k"], posterior: tuple[Array, Array], prior: tuple[Array, Array]
) -> Float[Array, " n"]:
    """For every sample, `log q(z_i | x_i) / p(z_i)`."""
    ratios = gaussian_log_density(samples, *posterior) - gaussian_log_density(samples, *prior)
    return jnp.sum(ratios, axis=1)


def _checked(
    samples: ArrayLike, means: ArrayLike, log_variances: ArrayLike
) -> list[Float[np.ndarray, "n k"]]:
    given = [as_float64(array) for array in (samples, means, log_variances)]
    shapes = [array.shape for array in given]
    if len(set(shapes)) > 1 or len(shapes[0]) < 2 or 0 in shapes[0]:
        raise ValueError(
            "expected samples, means and log_variances [n, ...] of one shape, got "
            + ", ".join(map(str, shapes))
        )
    _refuse_infinite(given, "finite samples and posteriors")
    return [array.reshape(len(array), -1) for array in given]


def _row(value: float | ArrayLike, size: int) -> Float[np.ndarray, "1 k"]:
    flat = np.ravel(as_float64(value))
    if flat.size not in (1, size):
        raise ValueError(
            f"expected 1 or {size} numbers for the mean and log-variance of the prior, got "
            f"{flat.size}"
        )
    _refuse_infinite([flat], "a finite prior")
    return np.broadcast_to(flat, (1, size))


def _in_float32(
    samples: Float[np.ndarray, "n k"], posterior: Sequence[np.ndarray], prior: Sequence[np.ndarray]
) -> tuple[np.ndarray, _Pair, _Pair]:
    """All from a central mean and in units of a power of two, in which float32 holds them."""
    center = central_value(posterior[0])
    # What is too large becomes infinite, and is refused.
    with np.errstate(over="ignore"):
        moved = [array - center for array in (samples, posterior[0], prior[0])]
        exponents = np.frexp(np.maximum(*(np.abs(array).max(axis=0) for array in moved[:2])))[1]
        z, mean, prior_mean = (np.ldexp(array, -exponents).astype(np.float32) for array in moved)
        log_variance, prior_log_variance = (
            (array - 2 * math.log(2) * exponents).astype(np.float32)
            for array in (posterior[1], prior[1])
        )
    _refuse_infinite([z, mean, log_variance], "finite samples and posteriors")
    _refuse_infinite([prior_mean, prior_log_variance], "a finite prior")
    return z, (mean, log_variance), (prior_mean, prior_log_variance)


def _refuse_infinite(arrays: Sequence[np.ndarray], expected: str) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError(f"expected {expected}, got NaN or infinity")
