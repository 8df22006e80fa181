"""The standard deviation of pixels, where no likelihood is given: how exact images have to be."""

import math

import numpy as np

from jaxvae.typing import ArrayLike

SIGNAL_TO_NOISE = 20.0
"""Variance of a direction of the images over that of the noise of the pixels."""

USUAL = 8.0
"""Directions of the images, where their dimension is not known."""

# Images of which whole numbers are held at a time.
_SOME = 256


def pixel_noise(images: ArrayLike, dimension: float) -> float:
    """The standard deviation of Gaussian pixels at which a latent stands out of the noise.

    With V the variance of the images, summed over pixels, and d their intrinsic dimension, each of
    d directions has the variance V / d in the mean. The noise is s^2 = V / (20 d). In a linear
    model a latent is kept if its direction has more variance than s^2, and its reconstruction
    then has the error s^2 (reverse water-filling): smaller noise asks for details that no
    neighbor depends on and trains longer, larger noise lets latents collapse. It grows with
    the contrast of the images, so that the answer does not depend on it; that of a Bernoulli or a
    unit Gaussian does.

    Args:
        images: bytes, `[n, h, w, c]`.
        dimension: intrinsic dimension of the images; NaN where it is not known.

    Returns:
        s in units of pixels from 0 to 1, to three digits.

    Raises:
        ValueError: for images that are all the same.
    """
    total = _variance(np.asarray(images))
    if total == 0:
        raise ValueError(f"expected images that differ, got {len(images):,} equal images")
    directions = dimension if is_known(dimension) else USUAL
    return float(f"{math.sqrt(total / SIGNAL_TO_NOISE / directions):.3g}")


def is_known(dimension: float) -> bool:
    """Whether the variance of images can be spread over as many directions."""
    return math.isfinite(dimension) and dimension > 0


def lost_variance(nll: float, images: ArrayLike, standard_deviation: float) -> float:
    """The share of the variance of images that reconstructions by Gaussian pixels lose.

    The squared error of reconstructions over the variance, both summed over pixels. A linear model
    of d directions of equal variance, with the noise of `pixel_noise` and reconstructions decoded
    from posterior samples, loses 1 / 20.

    Args:
        nll: negative log-likelihood of images, the mean in nats per image, of pixels from 0 to 1.
        images: bytes, `[n, h, w, c]`, whose variance it is.
        standard_deviation: of every pixel.
    """
    images, variance = np.asarray(images), standard_deviation**2
    constant = images[0].size / 2 * math.log(2 * math.pi * variance)
    return 2 * variance * (nll - constant) / _variance(images)


def _variance(images: np.ndarray) -> float:
    """The variance of pixels from 0 to 1, summed over pixels.

    From the whole numbers of bytes, some images at a time.
    """
    n, sums, squares = len(images), np.zeros(images[0].size, np.int64), 0
    for start in range(0, n, _SOME):
        some = images[start : start + _SOME].reshape(-1, len(sums)).astype(np.int64)
        sums += some.sum(axis=0)
        squares += int(np.sum(some**2))
    return (n * squares - int(np.sum(sums.astype(object) ** 2))) / n**2 / 255**2
