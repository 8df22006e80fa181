"""The beta-TC-VAE: total correlation weighted apart from the rest of the rate."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxvae.files.refusals import as_count
from jaxvae.models.likelihoods import gaussian_log_density
from jaxvae.models.vae import Outputs
from jaxvae.objectives.beta_vae import beta_vae
from jaxvae.objectives.coefficients import refuse_several


class KLTerms(NamedTuple):
    """The parts of the rate, batch means in nats; they add up to the sampled rate.

    Attributes:
        mutual_information: `[]`, between image and latents, `log q(z|x) - log q(z)`.
        total_correlation: `[]`, between latents, `log q(z) - sum_k log q(z_k)`.
        dimension_kl: `[]`, of the latents from the prior, `sum_k log q(z_k) - log p(z_k)`.
    """

    mutual_information: Float[Array, ""]
    total_correlation: Float[Array, ""]
    dimension_kl: Float[Array, ""]


class BetaTCVAETerms(NamedTuple):
    """The parts of the beta-TC loss, batch means in nats per image.

    Attributes:
        reconstruction: `[]`, negative log-likelihood, summed over pixels.
        kl: `[]`, KL divergence from the prior, summed over latents, in closed form.
        mutual_information: `[]`, as in `KLTerms`, estimated from the batch.
        total_correlation: `[]`.
        dimension_kl: `[]`.
    """

    reconstruction: Float[Array, ""]
    kl: Float[Array, ""]
    mutual_information: Float[Array, ""]
    total_correlation: Float[Array, ""]
    dimension_kl: Float[Array, ""]


def minibatch_weighted(
    sample: Float[Array, "b k"],
    mean: Float[Array, "b k"],
    log_variance: Float[Array, "b k"],
    *,
    dataset_size: int,
    present: Bool[Array, " k"] | None = None,
) -> KLTerms:
    """The parts of the rate by minibatch-weighted sampling.

    Every posterior of the batch stands for 1 / (b N) of the aggregate. Biased: with all
    posteriors equal to the prior, the mutual information is log N and the total
    correlation (k - 1) log N, where both are 0.

    Args:
        sample: samples of the posteriors.
        mean: posterior means.
        log_variance: logarithms of the posterior variances.
        dataset_size: N, the images that the batch is drawn from.
        present: which latents count; None for all.

    Returns:
        `KLTerms`, batch means in nats. Estimates from samples: any part may be negative. NaN in a
        sample or a posterior gives NaN.

    Raises:
        ValueError: for a batch larger than the data set, and a data set that is no whole number
            of images.

    Reference: Chen, Li, Grosse and Duvenaud (2018).
    """
    batch, dataset_size = _checked_sizes(sample, dataset_size, least=1)
    log_weights = jnp.full((batch, batch), -math.log(batch * dataset_size))
    return _terms(sample, mean, log_variance, log_weights, present)


def minibatch_stratified(
    sample: Float[Array, "b k"],
    mean: Float[Array, "b k"],
    log_variance: Float[Array, "b k"],
    *,
    dataset_size: int,
    present: Bool[Array, " k"] | None = None,
) -> KLTerms:
    """The parts of the rate by minibatch-stratified sampling.

    Row i weights the posterior that z_i was drawn from by 1 / N, the next one (in a
    circle) by (N - M) / (N M) and the others by 1 / M, with M = b - 1: weights add up to
    1, so posteriors equal to the prior give zero for all three parts.

    Args:
        sample: samples of the posteriors.
        mean: posterior means.
        log_variance: logarithms of the posterior variances.
        dataset_size: N, the images that the batch is drawn from.
        present: which latents count; None for all.

    Returns:
        `KLTerms`, batch means in nats. Estimates from samples: any part may be negative. NaN in a
        sample or a posterior gives NaN.

    Raises:
        ValueError: for a batch of fewer than 2, or larger than the data set, and a data set that is
            no whole number of images.

    Reference: Chen, Li, Grosse and Duvenaud (2018).
    """
    batch, dataset_size = _checked_sizes(sample, dataset_size, least=2)
    log_weights = jnp.log(stratified_weights(batch, dataset_size))
    return _terms(sample, mean, log_variance, log_weights, present)


def stratified_weights(batch: int, dataset_size: int) -> Float[Array, "b b"]:
    """Row i: what each posterior of the batch stands for where z_i was drawn; see above."""
    others = batch - 1
    own = jnp.eye(batch, dtype=bool)
    following = jnp.roll(own, 1, axis=1)
    weights = jnp.where(following, (dataset_size - others) / (dataset_size * others), 1 / others)
    return jnp.where(own, 1 / dataset_size, weights)


def beta_tc_vae(
    outputs: Outputs,
    *,
    dataset_size: int,
    beta: float | Array = 1.0,
) -> tuple[Float[Array, ""], BetaTCVAETerms]:
    """Reconstruction + KL + (beta - 1) total correlation, the batch mean in nats per image.

    The KL is in closed form and the total correlation by minibatch-stratified sampling,
    so at beta = 1 loss and gradient are those of the plain VAE.

    Args:
        outputs: outputs of a VAE on b >= 2 images.
        dataset_size: the images that the batch is drawn from.
        beta: weight of the total correlation.

    Returns:
        The loss and its terms.

    Raises:
        ValueError: for a batch of fewer than 2, or larger than the data set, a data set that is no
            whole number of images, and beta that is not one number.

    Reference: Chen, Li, Grosse and Duvenaud (2018).
    """
    return _with_total_correlation(outputs, minibatch_stratified, dataset_size, beta)


def weighted_beta_tc_vae(
    outputs: Outputs,
    *,
    dataset_size: int,
    beta: float | Array = 1.0,
) -> tuple[Float[Array, ""], BetaTCVAETerms]:
    """`beta_tc_vae`, its total correlation by minibatch-weighted in place of stratified sampling.

    All posteriors of the batch count the same. That is the estimator of Locatello et al. (2019)
    and of Bonheme and Grzes (2022), up to a constant: the loss is (beta - 1)(k - 1) log(b N)
    above theirs for k latents, gradients are equal. Biased, unlike `beta_tc_vae`, and with it
    gradients of the total correlation are others.

    Args:
        outputs: outputs of a VAE on b images.
        dataset_size: N, the images that the batch is drawn from.
        beta: weight of the total correlation.

    Returns:
        The loss and its terms.

    Raises:
        ValueError: for a batch larger than the data set, a data set that is no whole number of
            images, and beta that is not one number.

    Reference: Chen, Li, Grosse and Duvenaud (2018).
    """
    return _with_total_correlation(outputs, minibatch_weighted, dataset_size, beta)


def _with_total_correlation(
    outputs: Outputs, estimate: Callable[..., KLTerms], dataset_size: int, beta: float | Array
) -> tuple[Float[Array, ""], BetaTCVAETerms]:
    refuse_several({"beta": beta})
    loss, (reconstruction, kl) = beta_vae(outputs)
    parts = estimate(
        outputs.sample,
        outputs.mean,
        outputs.log_variance,
        dataset_size=dataset_size,
        present=outputs.present,
    )
    terms = BetaTCVAETerms(reconstruction, kl, *parts)
    return loss + (beta - 1) * parts.total_correlation, terms


def _terms(
    sample: Float[Array, "b k"],
    mean: Float[Array, "b k"],
    log_variance: Float[Array, "b k"],
    log_weights: Float[Array, "b b"],
    present: Bool[Array, " k"] | None,
) -> KLTerms:
    """Densities of the samples under the weighted posteriors of the batch."""

    def total(values: Float[Array, "*shape k"]) -> Float[Array, "*shape"]:
        masked = values if present is None else jnp.where(present, values, 0.0)
        return jnp.sum(masked, axis=-1)

    # [i, j, k]: dimension k of sample i under posterior j.
    log_densities = gaussian_log_density(sample[:, None], mean[None], log_variance[None])
    posterior = total(gaussian_log_density(sample, mean, log_variance))
    aggregate = jax.nn.logsumexp(log_weights + total(log_densities), axis=1)
    independent = total(jax.nn.logsumexp(log_weights[:, :, None] + log_densities, axis=1))
    prior = total(gaussian_log_density(sample, 0.0, 0.0))
    parts = posterior - aggregate, aggregate - independent, independent - prior
    return KLTerms(*(jnp.mean(part) for part in parts))


def _checked_sizes(
    sample: Float[Array, "b k"], dataset_size: int, *, least: int
) -> tuple[int, int]:
    """The sizes of the batch and of the data set."""
    refusal = f"expected a whole number of at least 1 as dataset_size, got {dataset_size}"
    batch, size = len(sample), as_count(dataset_size, refusal, least=1)
    if not least <= batch <= size:
        raise ValueError(
            f"expected a batch of {least} to dataset_size = {size} images, got {batch}"
        )
    return batch, size
