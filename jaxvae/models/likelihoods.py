"""Likelihoods: distributions of images, given the outputs of a decoder, in nats."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_LEAST_LOG_SCALE = -7.0
# So close to 0, (1 - exp(-x)) / x is 1 in float64; the square is above the least float32.
_RATIO_IS_ONE = 2.0**-60


class Likelihood(NamedTuple):
    """A distribution of images, whose parameters a decoder gives.

    Attributes:
        parameters: channels that the decoder puts out for so many image channels.
        nll: `(parameters [b, h, w, p], images [b, h, w, c]) -> [b]`, the negative
            log-likelihood, summed over pixels, nats.
        mean: `parameters -> images [b, h, w, c]`, the expected image.
    """

    parameters: Callable[[int], int]
    nll: Callable[[Array, Array], Array]
    mean: Callable[[Array], Array]

    def of_images(self, parameters: Array, images: Array) -> tuple[Array, Array]:
        """The expected images, and the negative log-likelihoods `[b]` of the images.

        Raises:
            ValueError: for parameters, expected images or likelihoods of another shape: they
                would broadcast.
        """
        wanted = (*images.shape[:-1], self.parameters(images.shape[-1]))
        if parameters.shape != wanted:
            raise ValueError(
                f"expected a decoder that gives {wanted} for images {images.shape} and this "
                f"likelihood, got {parameters.shape}"
            )
        mean, nll = self.mean(parameters), self.nll(parameters, images)
        if mean.shape != images.shape or nll.shape != images.shape[:1]:
            raise ValueError(
                f"expected a likelihood whose mean is {images.shape} and whose nll, summed over "
                f"pixels, is {images.shape[:1]}, got {mean.shape} and {nll.shape}"
            )
        return mean, nll


def bernoulli() -> Likelihood:
    """Black and white pixels, from their log-odds."""
    return Likelihood(lambda channels: channels, bernoulli_nll, jax.nn.sigmoid)


def gaussian(*, standard_deviation: float = 1.0) -> Likelihood:
    """Gaussian pixels with a fixed standard deviation."""
    if not standard_deviation > 0:
        raise ValueError(f"expected a positive standard_deviation, got {standard_deviation}")
    log_variance = 2 * math.log(standard_deviation)
    nll = partial(gaussian_nll, log_variance=log_variance)
    return Likelihood(lambda channels: channels, nll, lambda parameters: parameters)


def learned_gaussian() -> Likelihood:
    """Gaussian pixels whose log-variances are learned."""

    def nll(parameters: Array, images: Array) -> Array:
        mean, log_variance = jnp.split(parameters, 2, axis=-1)
        return gaussian_nll(mean, images, log_variance=log_variance)

    def mean(parameters: Array) -> Array:
        return jnp.split(parameters, 2, axis=-1)[0]

    return Likelihood(lambda channels: 2 * channels, nll, mean)


def logistic_mixture(*, components: int = 10) -> Likelihood:
    """8-bit pixels with a mixture of logistics."""
    if components < 1:
        raise ValueError(f"expected at least one component, got {components}")

    def parameters(channels: int) -> int:
        return components * (1 + _kinds(channels) * channels)

    def mean(parameters: Array) -> Array:
        channels = 3 if parameters.shape[-1] == components * 10 else 1
        return _mixture_mean(parameters, channels)

    return Likelihood(parameters, discretized_logistic_mixture_nll, mean)


def bernoulli_nll(
    logits: Float[Array, "b *pixels"], images: Float[Array, "b *pixels"]
) -> Float[Array, " b"]:
    """Bernoulli cross-entropy of images under pixel logits, summed over pixels.

    `sum log(1 + exp(logit)) - image * logit` nats per example. For binary images
    this is a negative log-likelihood; for gray values in [0, 1] it is a
    cross-entropy whose minimum is the images' own entropy, above zero.
    Finite for every finite logit.

    Raises:
        ValueError: for logits and images of different shapes.
    """
    _refuse_other_shape("logits", jnp.shape(logits), jnp.shape(images))
    return _per_example(jax.nn.softplus(logits) - images * logits)


def gaussian_nll(
    mean: Float[Array, "b *pixels"],
    images: Float[Array, "b *pixels"],
    *,
    log_variance: Float[Array, "*#pixels"] | float = 0.0,
) -> Float[Array, " b"]:
    """Gaussian negative log-density of images, summed over pixels.

    `sum ((image - mean)^2 / s^2 + log s^2 + log 2 pi) / 2` nats per example, the constant
    included. A density: below zero where s is small.

    Args:
        mean: mean of every pixel.
        images: images of the same shape.
        log_variance: log s^2, of every pixel, or one number for a fixed or a learned
            shared variance.

    Raises:
        ValueError: for a mean and images of different shapes.
    """
    _refuse_other_shape("a mean", jnp.shape(mean), jnp.shape(images))
    return -_per_example(gaussian_log_density(images, mean, log_variance))


def gaussian_log_density(
    x: Float[Array, "*shape"], mean: Float[Array, "*shape"] | float, log_variance: Array | float
) -> Float[Array, "*shape"]:
    """Log-density of `N(mean, exp(log_variance))` at every x, in nats."""
    squared = standardized(x, mean, log_variance) ** 2
    return -(squared + log_variance + math.log(2 * math.pi)) / 2


def standardized(
    x: Float[Array, "*shape"], mean: Float[Array, "*shape"] | float, log_variance: Array | float
) -> Float[Array, "*shape"]:
    """How far every x is from the mean of `N(mean, exp(log_variance))`, in standard deviations.

    One whose inverse would not be finite, in float32 below `exp(-85)`, counts as the smallest whose
    inverse is: else the distance of the mean itself would be NaN.
    """
    half = -jnp.asarray(log_variance) / 2
    most = math.log(float(jnp.finfo(half.dtype).max)) - 3
    return (x - mean) * jnp.exp(jnp.minimum(half, most))


def discretized_logistic(
    mean: Float[Array, "*shape"], log_scale: Float[Array, "*shape"], images: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Log-probability of 8-bit pixels under a logistic distribution cut into 256 bins.

    With x = 2 image - 1, the mass between x - 1/255 and x + 1/255; the first and the last
    bin take the tails. Nats per pixel, at most 0, and finite for log-scales from -80 up:
    the difference of two logistic functions is formed as
    `s(a) - s(b) = s(a) s(-b) (1 - exp(b - a))`, which does not cancel.

    Args:
        mean: mean of x, in [-1, 1] or beyond.
        log_scale: logarithm of the scale of x.
        images: k / 255 for k from 0 to 255.

    Reference: Salimans, Karpathy, Chen and Kingma (2017).
    """
    inverse_scale = jnp.exp(-log_scale)
    centered = 2 * images - 1 - mean
    upper, lower = (centered + 1 / 255) * inverse_scale, (centered - 1 / 255) * inverse_scale
    below, above = jax.nn.log_sigmoid(upper), jax.nn.log_sigmoid(-lower)
    width = _log_one_minus_exp(2 / 255 * inverse_scale, math.log(2 / 255) - log_scale)
    inside = below + above + width
    return jnp.where(images < 0.5 / 255, below, jnp.where(images > 254.5 / 255, above, inside))


def discretized_logistic_mixture_nll(
    parameters: Float[Array, "b h w p"], images: Float[Array, "b h w c"]
) -> Float[Array, " b"]:
    """Negative log-likelihood of 8-bit images under mixtures of discretized logistics.

    A pixel's channels share the component. In RGB images the means of green and blue
    move with the channels before them: `green + c0 red`, `blue + c1 red + c2 green`,
    each c being the hyperbolic tangent of its parameter. Sum over pixels and channels,
    nats per example, never negative but for rounding.

    Args:
        parameters: m components in the order of PixelCNN++: m mixture logits, then for
            every channel m means, m log-scales (at least -7) and, in RGB images, m
            coefficients: p = 10 m for three channels, 3 m for one.
        images: k / 255 for k from 0 to 255, of 1 or 3 channels.

    Raises:
        ValueError: for another number of channels, and parameters that do not fit or are those of
            other pixels.

    Reference: Salimans, Karpathy, Chen and Kingma (2017).
    """
    _refuse_other_shape("parameters of pixels", parameters.shape[:-1], images.shape[:-1])
    weights, components = _mixture_parts(parameters, images.shape[-1])
    means, log_scales = components[..., 0, :], jnp.maximum(components[..., 1, :], _LEAST_LOG_SCALE)
    if images.shape[-1] == 3:
        means = _follow_channels(means, jnp.tanh(components[..., 2, :]), 2 * images[..., None] - 1)
    pixels = jnp.broadcast_to(images[..., None], means.shape)
    channel_sums = jnp.sum(discretized_logistic(means, log_scales, pixels), axis=-2)
    return -_per_example(jax.nn.logsumexp(weights + channel_sums, axis=-1))


def _refuse_other_shape(name: str, given: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Refuse what would broadcast against the images."""
    if given != wanted:
        raise ValueError(f"expected {name} of shape {wanted}, as the images are, got {given}")


def _kinds(channels: int) -> int:
    """Means, log-scales and, in RGB images, coefficients."""
    if channels not in (1, 3):
        raise ValueError(f"expected images of 1 or 3 channels, got {channels}")
    return 3 if channels == 3 else 2


def _mixture_parts(
    parameters: Float[Array, "b h w p"], channels: int
) -> tuple[Float[Array, "b h w m"], Float[Array, "b h w c kinds m"]]:
    """Logarithms of the weights, and what there is for every channel."""
    kinds = _kinds(channels)
    components, rest = divmod(parameters.shape[-1], 1 + kinds * channels)
    if rest or not components:
        raise ValueError(
            f"expected a multiple of {1 + kinds * channels} parameters for {channels} channels, "
            f"got {parameters.shape[-1]}"
        )
    weights = jax.nn.log_softmax(parameters[..., :components])
    pixels = parameters.shape[:-1]
    return weights, parameters[..., components:].reshape(*pixels, channels, kinds, components)


def _mixture_mean(parameters: Float[Array, "b h w p"], channels: int) -> Float[Array, "b h w c"]:
    """Mean of the mixture, before it is cut into bins, within [0, 1]."""
    weights, components = _mixture_parts(parameters, channels)
    means = components[..., 0, :]
    if channels == 3:
        # Red is its own mean; green follows it, and blue both, within every component.
        coefficients, red = jnp.tanh(components[..., 2, :]), means[..., 0, :]
        green = means[..., 1, :] + coefficients[..., 0, :] * red
        blue = means[..., 2, :] + coefficients[..., 1, :] * red + coefficients[..., 2, :] * green
        means = jnp.stack([red, green, blue], axis=-2)
    mean = jnp.sum(jnp.exp(weights)[..., None, :] * means, axis=-1)
    return jnp.clip((mean + 1) / 2, 0.0, 1.0)


def _follow_channels(
    means: Float[Array, "b h w 3 m"],
    coefficients: Float[Array, "b h w 3 m"],
    pixels: Float[Array, "b h w 3 1"],
) -> Float[Array, "b h w 3 m"]:
    red, green = pixels[..., 0, :], pixels[..., 1, :]
    of_red, of_red_too, of_green = (coefficients[..., c, :] for c in range(3))
    shift = [jnp.zeros_like(of_red), of_red * red, of_red_too * red + of_green * green]
    return means + jnp.stack(shift, axis=-2)


def _log_one_minus_exp(
    x: Float[Array, "*shape"], log_x: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """log(1 - exp(-x)) for x > 0, without cancellation at either end, also where x underflows."""
    small = x < math.log(2)
    # Each form sees only what it is good for: the other's gradient could be NaN.
    within = jnp.where(small, jnp.maximum(x, _RATIO_IS_ONE), 1.0)
    near = log_x + jnp.log(-jnp.expm1(-within) / within)
    return jnp.where(small, near, jnp.log1p(-jnp.exp(-jnp.where(small, 1.0, x))))


def _per_example(terms: Float[Array, "b *pixels"]) -> Float[Array, " b"]:
    return jnp.sum(terms.reshape(len(terms), -1), axis=1)
