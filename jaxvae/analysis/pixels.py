"""Images of models and for them, as floats from 0 to 1 and as bytes."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jaxvae.training.images import unit_interval
from jaxvae.typing import ArrayLike


def as_pixels(images: Array) -> Float[Array, "*shape"]:
    """Bytes, or floats from 0 to 1, as floats from 0 to 1."""
    return unit_interval(images) if images.dtype == jnp.uint8 else images


def checked_floats(images: ArrayLike) -> Float[np.ndarray, "*shape"]:
    """Floats from 0 to 1 as float32, on the host, where no shape needs a program of its own.

    Raises:
        ValueError: for other types, and numbers outside of [0, 1] or NaN.
    """
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"expected uint8 images, or floats in [0, 1], got {images.dtype}")
    pixels = np.asarray(images, np.float32)
    if np.isnan(pixels).any():
        raise ValueError("expected floats in [0, 1], got NaN among them")
    if not ((pixels >= 0) & (pixels <= 1)).all():
        raise ValueError(
            f"expected uint8 images, or floats in [0, 1], got floats from {pixels.min():g} to "
            f"{pixels.max():g}; bring them to the range of the images of training"
        )
    return pixels


def as_bytes(images: ArrayLike) -> UInt8[np.ndarray, "*shape"]:
    """Convert floats from 0 to 1 to bytes, on the host; NaN becomes black."""
    return np.rint(np.clip(np.nan_to_num(np.asarray(images)), 0, 1) * 255).astype(np.uint8)
