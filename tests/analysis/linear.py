"""A linear-Gaussian hierarchy whose rates and distortions are known exactly."""

import numpy as np

from jaxvae.models import Variables, build_hvae, gaussian
from tests.models.hierarchies import LinearGaussian

DEVIATION = 0.3
NOTHING = Variables({}, {})
IMAGES = np.random.default_rng(0).integers(0, 256, (2000, 1, 2, 1), dtype=np.uint8)


def hierarchy(**options):
    return build_hvae(
        LinearGaussian(**options),
        image_shape=(1, 2, 1),
        shapes=[(1,), (2,)],
        likelihood=gaussian(standard_deviation=DEVIATION),
    )


def pixels(images=IMAGES):
    return images.reshape(len(images), 2) / 255


def top_rates(x):
    """KL of z_2, exactly, for every image."""
    net = LinearGaussian
    squared = (x @ net.SEEN)[:, 0] ** 2
    return (squared + net.TOP_VARIANCE - 1 - np.log(net.TOP_VARIANCE)) / 2


def bottom_rates(x, top, inferred=0.6):
    """Expected KL of z_1 where z_2 was inferred from the pixels `top`."""
    net = LinearGaussian
    follows = inferred - net.FROM_TOP  # [1, 2]
    shift = x @ net.FROM_IMAGE + top @ net.SEEN @ follows
    squared = shift**2 + follows**2 * net.TOP_VARIANCE
    ratio = net.BOTTOM_VARIANCE / net.PRIOR_VARIANCE
    return (squared / net.PRIOR_VARIANCE + ratio - 1 - np.log(ratio)).sum(axis=1) / 2


def squared_errors(x, bottom, top, inferred=0.6, *, decided=False):
    """Expected squared error, summed over pixels; z_1 saw `bottom`, z_2 saw `top`."""
    net = LinearGaussian
    mean = bottom @ net.FROM_IMAGE + inferred * (top @ net.SEEN)
    spread = net.BOTTOM_VARIANCE * np.eye(2) + inferred**2 * net.TOP_VARIANCE * np.ones((2, 2))
    noise = 0.0 if decided else np.trace(net.TO_IMAGE.T @ spread @ net.TO_IMAGE)
    return ((x - mean @ net.TO_IMAGE) ** 2).sum(axis=1) + noise


def nll(squared):
    """Of two Gaussian pixels with that squared error."""
    return squared / (2 * DEVIATION**2) + np.log(2 * np.pi * DEVIATION**2)
