"""Latent traversals: images decoded while one latent moves and the others are kept."""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxvae.analysis.batches import in_batches
from jaxvae.analysis.capture import checked_batches
from jaxvae.files.refusals import as_count
from jaxvae.models.hvae import refuse_other_models
from jaxvae.models.vae import VAE, Variables
from jaxvae.objectives.divergences import gaussian_kl
from jaxvae.training.images import unit_interval
from jaxvae.typing import ArrayLike


class Traversals(NamedTuple):
    """Images decoded while one of l latents moves, on the host.

    Attributes:
        images: `[l, s, h, w, c]`, expected images, as the likelihood gives them: in [0, 1], but
            for Gaussians, whose means may leave it.
        latents: `[l]`, which latent moves, from 0; largest KL first.
        kl: `[l]`, its mean KL divergence from the prior over the data, nats.
        means: `[l]`, where the example has it: its posterior mean.
        values: `[s]`, where it is moved to, in standard deviations of the prior.
        available: latents that the model has.
    """

    images: Float[np.ndarray, "l s h w c"]
    latents: Int[np.ndarray, " l"]
    kl: Float[np.ndarray, " l"]
    means: Float[np.ndarray, " l"]
    values: Float[np.ndarray, " s"]
    available: int


def latent_traversals(
    vae: VAE,
    variables: Variables,
    images: ArrayLike,
    *,
    example: int = 0,
    latents: int = 12,
    steps: int = 9,
    span: float = 2.0,
    batch_size: int = 1000,
) -> Traversals:
    """Images decoded from the posterior mean of one example with one latent moved.

    A latent goes from `-span` to `span` in equal steps, whatever its posterior is, so
    that all rows share their values; the prior is N(0, 1), and holds 95% of its mass
    within the default span. Nothing is sampled. The KL per latent is that of
    `evaluate`: the mean over all images.

    Args:
        vae: the model.
        variables: what it learned.
        images: uint8 `[n, h, w, c]`, which decide the order of the latents.
        example: the image that is traversed, an index of `images`.
        latents: at most so many, those of largest KL; equal ones by their index, NaN last.
        steps: values of the moved latent, at least 2; an odd number includes 0.
        span: the largest value, above 0.
        batch_size: examples on the device at a time.

    Returns:
        `Traversals`.

    Raises:
        ValueError: for a hierarchy, images that the model does not take, an example that is
            not there, and settings out of their range.

    Reference: Higgins et al. (2017), who traverse -3 to 3.
    """
    refuse_other_models(vae, VAE)
    images, batch_size = checked_batches(vae, images, batch_size=batch_size)
    n = len(images)
    refusal = f"expected an example from 0 to {n - 1}, got {example}"
    example = as_count(example, refusal, least=0, most=n - 1)
    latents = as_count(latents, f"expected at least one latent, got {latents}", least=1)
    steps = as_count(steps, f"expected at least 2 steps, got {steps}", least=2)
    if not (span > 0 and math.isfinite(span)):
        raise ValueError(f"expected a span above 0, got {span}")
    means, kl = in_batches(partial(_posterior, vae, variables), images, batch_size)
    rates = kl.mean(axis=0, dtype=np.float64).astype(np.float32)
    chosen = np.argsort(-rates, kind="stable")[:latents]
    values = np.linspace(-span, span, steps, dtype=np.float32)
    center = jnp.asarray(means[example])
    rows = [np.asarray(_move(vae, variables, center, latent, values)) for latent in chosen]
    return Traversals(
        np.stack(rows), chosen, rates[chosen], means[example, chosen], values, len(rates)
    )


@partial(jax.jit, static_argnames="vae")
def _posterior(
    vae: VAE, variables: Variables, images: Array
) -> tuple[Float[Array, "b k"], Float[Array, "b k"]]:
    """Mean and KL; compiled, the decoder drops out."""
    outputs = vae.apply(variables, unit_interval(images), jnp.zeros((len(images), vae.latents)))
    return outputs.mean, gaussian_kl(outputs.mean, outputs.log_variance)


@partial(jax.jit, static_argnames="vae")
def _move(
    vae: VAE,
    variables: Variables,
    center: Float[Array, " k"],
    latent: Int[Array, ""],
    values: Float[Array, " s"],
) -> Float[Array, "s h w c"]:
    return vae.decode(variables, jax.vmap(center.at[latent].set)(values))
