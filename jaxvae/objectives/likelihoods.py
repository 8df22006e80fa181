"""Negative log-likelihoods of images, in nats."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def bernoulli_nll(
    logits: Float[Array, "b *pixels"], images: Float[Array, "b *pixels"]
) -> Float[Array, " b"]:
    """Bernoulli cross-entropy of images under pixel logits, summed over pixels.

    `sum log(1 + exp(logit)) - image * logit` nats per example. For binary images
    this is a negative log-likelihood; for gray values in [0, 1] it is a
    cross-entropy whose minimum is the images' own entropy, above zero.
    Finite for every finite logit.
    """
    terms = jax.nn.softplus(logits) - images * logits
    return jnp.sum(terms.reshape(len(terms), -1), axis=1)
