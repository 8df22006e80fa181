"""Trained variables -> what every layer makes of a data set, in batches."""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.models.vae import VAE, Outputs, Variables
from jaxvae.training.trainer import unit_interval
from jaxvae.typing import Array, ArrayLike, Key


def capture(
    vae: VAE,
    variables: Variables,
    images: ArrayLike,
    *,
    key: Key,
    batch_size: int = 1000,
) -> dict[str, np.ndarray]:
    """The taps of a trained model over a data set, in evaluation mode.

    Args:
        vae: the model.
        variables: what it learned.
        images: uint8 `[n, h, w, c]`.
        key: of the posterior noise. Example i gets the same noise whatever the
            batch size.
        batch_size: examples on the device at a time.

    Returns:
        Every tap by name, in depth order, `[n, ...]` float32 on the host.

    Raises:
        ValueError: for images that the model does not take.
    """
    batches = [
        jax.device_get(outputs.taps)
        for outputs in evaluated(vae, variables, images, key=key, batch_size=batch_size)
    ]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def evaluated(
    vae: VAE, variables: Variables, images: ArrayLike, *, key: Key, batch_size: int = 1000
) -> Iterator[Outputs]:
    """The model's `Outputs` on one batch after another, in evaluation mode."""
    if images.shape[1:] != vae.image_shape or images.dtype != np.uint8 or len(images) == 0:
        raise ValueError(
            f"expected uint8 images [n, {', '.join(map(str, vae.image_shape))}], "
            f"got {images.dtype} {images.shape}"
        )
    noise = jax.random.normal(key, (len(images), vae.latents))
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        yield _evaluate(vae, variables, jnp.asarray(images[batch]), noise[batch])


@partial(jax.jit, static_argnames="vae")
def _evaluate(vae: VAE, variables: Variables, images: Array, noise: Array) -> Outputs:
    return vae.apply(variables, unit_interval(images), noise)
