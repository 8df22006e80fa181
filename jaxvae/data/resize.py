"""Square resizing of images by linear interpolation, antialiased.

The same result as `jax.image.resize(..., "linear", antialias=True)` up to rounding. It is
written out in NumPy because a data set of images of many sizes would compile a program
for each of them.
"""

from functools import lru_cache

import numpy as np


def resize_images(images: np.ndarray, *, size: int) -> np.ndarray:
    """Resize images to `size` by `size` pixels, bilinear and antialiased.

    The sides are resized independently: an image that is not square is stretched.

    Args:
        images: uint8 `[n, h, w, c]`.
        size: pixels along each side of the result.

    Returns:
        uint8 `[n, size, size, c]`, rounded to the nearest integer.
    """
    _, height, width, _ = images.shape
    if height == width == size:
        return images
    values = resize_values(images.astype(np.float32), size=size)
    return np.rint(values).clip(0, 255).astype(np.uint8)


def resize_values(values: np.ndarray, *, size: int) -> np.ndarray:
    """Resize float32 values of any range as `resize_images` does, without rounding them."""
    _, height, width, _ = values.shape
    values = np.einsum("ih,bhwc->biwc", _triangle_weights(height, size), values, optimize=True)
    return np.einsum("jw,biwc->bijc", _triangle_weights(width, size), values, optimize=True)


@lru_cache(maxsize=1024)
def _triangle_weights(length: int, size: int) -> np.ndarray:
    """Weight of every input pixel in every output pixel along one side, `[size, length]`.

    Pixel centers lie at half integers. The weight falls linearly with the distance from
    the output pixel's center, to zero at one output pixel or, when enlarging, at one
    input pixel; rows sum to 1.
    """
    step = length / size
    centers = (np.arange(size) + 0.5) * step - 0.5
    distance = np.abs(np.arange(length) - centers[:, None]) / max(step, 1.0)
    weights = np.maximum(0.0, 1.0 - distance)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
