"""Images as they are given are turned into the bytes that a model takes, or refused with advice."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jaxvae.geometry.arrays import as_row_array, is_spread, refuse_by_name
from jaxvae.geometry.host import is_on_host
from jaxvae.typing import ArrayLike, ImageShape

# So many images tell nearly always that a set has more than two values.
_FEW = 64


def as_images(images: ArrayLike, image_shape: ImageShape | None) -> UInt8[ArrayLike, "n h w c"]:
    """Images as an array of bytes; an array on disk stays there.

    Args:
        images: uint8 `[n, h, w, c]`, one at least.
        image_shape: `(h, w, c)` of the model, or None where it does not say.

    Raises:
        ValueError: for anything else; says what was expected, what came, and what to do.
    """
    if not isinstance(getattr(images, "dtype", None), np.dtype):
        images = as_row_array(images)
    refuse_by_name(images)
    wanted = image_shape or ("h", "w", "c")
    fits = len(images.shape) == 4 and image_shape in (None, images.shape[1:])
    if images.dtype != np.uint8 or not fits or len(images) == 0:
        remedies = "".join(f"; {remedy}" for remedy in _remedies(images, image_shape))
        raise ValueError(
            f"expected uint8 images [n, {', '.join(map(str, wanted))}], "
            f"got {images.dtype} {images.shape}{remedies}"
        )
    # JAX would ask of every operation on spread images where its result is to be.
    return np.asarray(images) if is_spread(images) else images


def checked_images(
    images: ArrayLike, image_shape: ImageShape | None
) -> UInt8[ArrayLike, "n h w c"]:
    """Images for a model as `as_images` has them, after a look at their numbers.

    Raises:
        ValueError: as `as_images`, and for images whose largest value is 1, which a model would
            take for nearly black.
    """
    images = as_images(images, image_shape)
    known = np.asarray(images) if is_on_host(images) else images
    if np.max(known[:_FEW]) <= 1 and np.asarray(known).max() == 1:
        raise ValueError(
            "expected uint8 images of numbers from 0 to 255, got only 0 and 1; multiply by 255"
        )
    return images


def on_device(images: UInt8[ArrayLike, "n h w c"]) -> UInt8[Array, "n h w c"]:
    """Images as an array of JAX, which is a copy of one of NumPy.

    `jnp.asarray` and `jnp.array` compile a program for every shape, which makes a second copy on
    the device.
    """
    return images if isinstance(images, jax.Array) else jax.device_put(np.array(images))


def unit_interval(images: UInt8[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Convert bytes from 0 to 255 to floats from 0 to 1."""
    return images.astype(jnp.float32) / 255


def _remedies(images: ArrayLike, image_shape: ImageShape | None) -> list[str]:
    remedies = []
    if jnp.issubdtype(images.dtype, jnp.floating):
        known = np.asarray(images, np.float32)
        if not np.isfinite(known).all():
            remedies.append("they hold NaN or infinity")
        elif known.size and known.min() >= 0 and known.max() <= 1:
            remedies.append("np.rint(255 * images).astype(np.uint8) makes bytes of 0 to 1")
        else:
            remedies.append("bring them to numbers from 0 to 255, then .astype(np.uint8)")
    elif images.dtype == bool:
        remedies.append("255 * images.astype(np.uint8) makes bytes of them")
    elif jnp.issubdtype(images.dtype, np.integer) and images.dtype != np.uint8:
        known = np.asarray(images)
        if known.size and known.min() >= 0 and known.max() <= 255:
            remedies.append("images.astype(np.uint8) makes bytes of them")
        else:
            remedies.append("bring them to numbers from 0 to 255, then .astype(np.uint8)")
    if image_shape is not None and images.shape[1:] != image_shape:
        height, width, channels = image_shape
        layouts = {
            (height, width, 1): f"np.repeat(images, {channels}, axis=-1) repeats the channel",
            (height, width): "images[..., None] adds the axis of channels",
            (channels, height, width): "np.moveaxis(images, 1, -1) puts the channels last",
        }
        remedies += [layouts[images.shape[1:]]] if images.shape[1:] in layouts else []
    return remedies
