"""The quality of generated images, by the probabilities that a classifier gives their labels."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlogy
from jaxtyping import Array, Float

from jaxvae.analysis.batches import in_batches, padded_count
from jaxvae.analysis.estimate import Estimate, share_estimate
from jaxvae.analysis.pixels import as_pixels, checked_floats
from jaxvae.files.refusals import as_count
from jaxvae.geometry.arrays import as_row_array, refuse_no_key
from jaxvae.metrics.information import inception_score
from jaxvae.metrics.resample import jackknife_error
from jaxvae.models.classifier import Classifier
from jaxvae.models.hvae import HVAE
from jaxvae.models.vae import VAE, Variables
from jaxvae.training.classification import checked_examples
from jaxvae.typing import ArrayLike, Key


class GenerationQuality(NamedTuple):
    """The inception score of samples, its two factors with jackknife errors, and its parts.

    Attributes:
        inception_score: `exp I(y; x)`, from 1 to M: the product of the other two.
        diversity: `exp H(mean p)`, from 1 to M: how many classes are drawn, effectively.
        sharpness: `exp(-mean H(p))`, from 1/M to 1: how sure the classifier is of one image.
        information: `[n]`, KL(p_i || mean p), nats: what sample i tells of the class. The score
            is the exponential of their mean, and to first order in the samples moves with each
            of them alone, by which models with the same noise are compared sample by sample.
    """

    inception_score: Estimate
    diversity: Estimate
    sharpness: Estimate
    information: Float[np.ndarray, " n"]


def generation_quality(
    classifier: Classifier,
    params: Any,
    samples: ArrayLike,
    *,
    key: Key,
    parts: int = 10,
    batch_size: int = 1000,
) -> GenerationQuality:
    """Inception score, diversity and sharpness of generated images.

    The values are those of all samples together, which biases the score least: downwards,
    by a share of at most about (M - 1) / 2n. The errors come from leaving out one of `parts`
    random groups at a time. Scores of one classifier compare with each other, not with those
    of another. For scale, give it held-out images: a model can hardly do better.

    Args:
        classifier: the network.
        params: what it learned, such as by `jaxvae.training.train_classifier`.
        samples: `[n, h, w, c]`, uint8 or floats in [0, 1] such as `ancestral_samples`.
        key: key of the groups.
        parts: groups, 2 to n.
        batch_size: images on the device at a time.

    Raises:
        ValueError: for images that the classifier does not take, a classifier that gives NaN,
            parts outside 2 to n, a batch_size below 1, and what is no key.

    Reference: Salimans et al. (2016); Xiao and Bamler (2023) for the factors.
    """
    probabilities = class_probabilities(classifier, params, samples, batch_size=batch_size)
    errors = jackknife_error(key, _quality, probabilities, parts=parts).stderr
    values = _quality(probabilities)
    score, diversity, sharpness = (
        Estimate(np.float64(value), np.float64(error))
        for value, error in zip(values, errors, strict=True)
    )
    information = _information(np.asarray(probabilities, np.float64))
    return GenerationQuality(score, diversity, sharpness, information)


def class_probabilities(
    classifier: Classifier, params: Any, images: ArrayLike, *, batch_size: int = 1000
) -> Float[np.ndarray, "n m"]:
    """The class probabilities that a classifier gives every image, on the host; rows sum to 1.

    Args:
        classifier: the network.
        params: what it learned.
        images: `[n, h, w, c]`, uint8 or floats in [0, 1].
        batch_size: images on the device at a time.

    Raises:
        ValueError: for images that the classifier does not take, also floats outside of
            [0, 1] or NaN.
    """
    images = as_row_array(images)
    if images.shape[1:] != classifier.image_shape or len(images) == 0:
        shape = ", ".join(map(str, classifier.image_shape))
        raise ValueError(f"expected images [n, {shape}], got {images.shape}")
    pixels = images if images.dtype == np.uint8 else checked_floats(images)
    return in_batches(partial(_probabilities, classifier, params), pixels, batch_size)


def classifier_accuracy(
    classifier: Classifier,
    params: Any,
    images: ArrayLike,
    labels: ArrayLike,
    *,
    batch_size: int = 1000,
) -> Estimate:
    """The accuracy of a classifier on held-out images.

    Args:
        classifier: the network.
        params: what it learned.
        images: uint8 `[n, h, w, c]`.
        labels: `[n]`, whole numbers from 0 to M - 1.
        batch_size: images on the device at a time.

    Returns:
        The share, and its standard error; see `share_estimate`. Of equal probabilities the first
        class counts, and so does class 0 where a classifier gives NaN alone.

    Raises:
        ValueError: for images or labels that the classifier does not take.
    """
    images, numbers = checked_examples(classifier, images, labels)
    probabilities = class_probabilities(classifier, params, images, batch_size=batch_size)
    return share_estimate(int(np.sum(probabilities.argmax(1) == numbers)), len(images))


def ancestral_samples(
    vae: VAE | HVAE, variables: Variables, *, key: Key, n: int, batch_size: int = 1000
) -> Float[np.ndarray, "n h w c"]:
    """Expected images of samples from the prior, every layer from those above it.

    The pixels are not drawn: these are the means of the likelihood, clipped to [0, 1].
    Sample i does not depend on the batch size, nor on n with the keys that JAX makes by default.

    Args:
        vae: the model, a `VAE` or an `HVAE`.
        variables: what it learned.
        key: key of the samples.
        n: how many, at least 1.
        batch_size: samples on the device at a time.

    Raises:
        ValueError: for fewer than one sample, or batches of none.
    """
    refusal = f"expected n and batch_size of at least 1, got {n} and {batch_size}"
    n, batch_size = (as_count(count, refusal, least=1) for count in (n, batch_size))
    refuse_no_key(key)
    # Among more numbers of a key are those of fewer.
    noise = jax.random.normal(key, (padded_count(n), vae.latents), jnp.float32)
    return in_batches(partial(_decode, vae, variables), np.asarray(noise)[:n], batch_size)


@partial(jax.jit, static_argnames="vae")
def _decode(vae: VAE | HVAE, variables: Variables, noise: Array) -> Float[Array, "b h w c"]:
    return jnp.clip(vae.decode(variables, noise), 0.0, 1.0)


@partial(jax.jit, static_argnames="classifier")
def _probabilities(classifier: Classifier, params: Any, images: Array) -> Float[Array, "b m"]:
    return jax.nn.softmax(classifier.apply(params, as_pixels(images)), axis=-1)


def _quality(probabilities: ArrayLike) -> tuple[Array, Array, Array]:
    """Score, diversity and sharpness."""
    return inception_score(probabilities), *_factors(jnp.asarray(probabilities, jnp.float32))


def _information(probabilities: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
    marginal = probabilities.mean(axis=0)
    # A class that no sample has any of adds nothing: 0 log 0 / 0 counts as 0.
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = probabilities * np.log(probabilities / marginal)
    return np.where(probabilities > 0, terms, 0.0).sum(axis=1)


@jax.jit
def _factors(probabilities: Float[Array, "n m"]) -> tuple[Array, Array]:
    marginal = jnp.mean(probabilities, axis=0)
    diversity = jnp.exp(-jnp.sum(xlogy(marginal, marginal)))
    uncertainty = -jnp.sum(xlogy(probabilities, probabilities), axis=1)
    return diversity, jnp.exp(-jnp.mean(uncertainty))
