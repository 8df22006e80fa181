"""FactorVAE: total correlation seen by a discriminator that is trained beside."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.models.vae import Outputs
from jaxvae.objectives.beta_vae import beta_vae
from jaxvae.objectives.coefficients import refuse_several
from jaxvae.typing import Key

Classifier = Callable[[Float[Array, "b k"]], Float[Array, "b 2"]]


class FactorVAETerms(NamedTuple):
    """The parts of the FactorVAE loss, batch means in nats per image.

    Attributes:
        reconstruction: `[]`, negative log-likelihood, summed over pixels.
        kl: `[]`, KL divergence from the prior, summed over latents.
        total_correlation: `[]`, as the discriminator sees it.
    """

    reconstruction: Float[Array, ""]
    kl: Float[Array, ""]
    total_correlation: Float[Array, ""]


def factor_vae(
    outputs: Outputs,
    *,
    discriminator: Classifier,
    gamma: float | Array,
) -> tuple[Float[Array, ""], FactorVAETerms]:
    """Reconstruction + KL + gamma total correlation, the batch mean in nats per image.

    The total correlation is the mean of `logit_0 - logit_1` over the samples, class 0
    being samples as they are: the log density ratio to samples with every latent permuted
    on its own, where the discriminator is optimal; not bounded below by zero.

    Args:
        outputs: outputs of a VAE.
        discriminator: `latents [b, k] -> logits [b, 2]`, trained by `discriminator_loss`.
        gamma: weight of the total correlation.

    Returns:
        The loss and its terms.

    Raises:
        ValueError: for gamma that is not one number, and a discriminator that gives another shape.

    Reference: Kim and Mnih (2018).
    """
    refuse_several({"gamma": gamma})
    loss, (reconstruction, kl) = beta_vae(outputs)
    total_correlation = log_density_ratio(_logits(discriminator, outputs.sample))
    return loss + gamma * total_correlation, FactorVAETerms(reconstruction, kl, total_correlation)


def log_density_ratio(logits: Float[Array, "b 2"]) -> Float[Array, ""]:
    """Mean of `logit_0 - logit_1`, in nats."""
    return jnp.mean(logits[:, 0] - logits[:, 1])


def discriminator_loss(
    discriminator: Classifier, sample: Float[Array, "b k"], key: Key
) -> Float[Array, ""]:
    """Cross-entropy of telling samples from samples with permuted latents, in nats.

    `-(mean log p_0(sample) + mean log p_1(permuted)) / 2`; log 2 for a discriminator that
    cannot tell. Its gradient does not reach the encoder.

    Args:
        discriminator: `latents [b, k] -> logits [b, 2]`.
        sample: samples of the posteriors of a batch.
        key: key of the permutations.

    Raises:
        ValueError: for a discriminator that gives another shape.

    Reference: Kim and Mnih (2018).
    """
    sample = jax.lax.stop_gradient(sample)
    permuted = permute_latents(sample, key)
    return cross_entropy(_logits(discriminator, sample), _logits(discriminator, permuted))


def cross_entropy(joint: Float[Array, "b 2"], permuted: Float[Array, "b 2"]) -> Float[Array, ""]:
    """Mean negative log-probability of class 0 for `joint` and of class 1 for `permuted`."""
    right = jax.nn.log_softmax(joint)[:, 0], jax.nn.log_softmax(permuted)[:, 1]
    return -(jnp.mean(right[0]) + jnp.mean(right[1])) / 2


def permute_latents(sample: Float[Array, "b k"], key: Key) -> Float[Array, "b k"]:
    """Every latent permuted over the batch on its own: a sample of the product of marginals."""
    # Latents first: the permutations of the first k do not depend on how many there are.
    draws = jax.random.bits(key, sample.shape[::-1], jnp.uint32)
    return jnp.take_along_axis(sample, jnp.argsort(draws, axis=1).T, axis=0)


def _logits(discriminator: Classifier, latents: Float[Array, "b k"]) -> Float[Array, "b 2"]:
    logits = discriminator(latents)
    # JAX takes an index beyond the end as the last one: a discriminator of one logit would be read
    # as if it had two equal ones.
    if logits.shape != (len(latents), 2):
        raise ValueError(
            f"expected a discriminator that gives {(len(latents), 2)} for latents "
            f"{latents.shape}, got {logits.shape}"
        )
    return logits
