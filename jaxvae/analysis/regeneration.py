"""Images with some layers of a hierarchy kept from an image, and the rest drawn from the prior."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvae.analysis.capture import posterior_noise
from jaxvae.files.refusals import as_count
from jaxvae.geometry.arrays import refuse_no_key
from jaxvae.models.hvae import HVAE, refuse_other_models
from jaxvae.models.vae import Variables
from jaxvae.training.images import checked_images, unit_interval
from jaxvae.typing import ArrayLike, Key


class Regenerations(NamedTuple):
    """Images that share their upper layers with given ones, on the host.

    Attributes:
        images: `[r, n, h, w, c]`, expected images, as the likelihood gives them.
        kept: `[r]`, how many layers from the top are those of the given image, growing.
        layers: number of layers that the model has.
    """

    images: Float[np.ndarray, "r n h w c"]
    kept: tuple[int, ...]
    layers: int


def regenerate(
    hvae: HVAE, variables: Variables, images: ArrayLike, *, key: Key, rows: int = 8
) -> Regenerations:
    """Images whose upper layers are inferred and whose lower ones are drawn from the prior.

    With k layers kept, z_L to z_(L-k+1) are posterior samples of the image and the others
    samples of their prior given those above. What does not change from row to row down a
    column is held by the layers kept; with all kept, it is the reconstruction. One noise
    serves all rows, so that they differ in what is kept only.

    Args:
        hvae: the model.
        variables: what it learned.
        images: uint8 `[n, h, w, c]`.
        key: key of the noise.
        rows: at most so many numbers of kept layers, evenly spaced, from 0 to all; at
            least 2.

    Raises:
        ValueError: for a `VAE` (an `HVAE` of one layer is taken), images that the model does
            not take, fewer than 2 rows, and what is no key.

    Reference: Child (2021).
    """
    refuse_other_models(hvae, HVAE)
    images = checked_images(images, hvae.image_shape)
    rows = as_count(rows, f"expected at least 2 rows, got {rows}", least=2)
    refuse_no_key(key)
    layers = len(hvae.shapes)
    kept = np.unique(np.linspace(0, layers, min(rows, layers + 1)).round().astype(int))
    noise = posterior_noise(key, n=len(images), latents=hvae.latents)
    inferred = _inferred(hvae, variables, unit_interval(jnp.asarray(images)), noise)
    made = [
        np.asarray(_generated(hvae, variables, noise, inferred, np.arange(layers) < count))
        for count in kept
    ]
    return Regenerations(np.stack(made), tuple(map(int, kept)), layers)


@partial(jax.jit, static_argnames="hvae")
def _inferred(hvae: HVAE, variables: Variables, pixels: Array, noise: Array) -> list[Array]:
    return [layer.sample for layer in hvae.apply(variables, pixels, noise).layers]


@partial(jax.jit, static_argnames="hvae")
def _generated(
    hvae: HVAE, variables: Variables, noise: Array, samples: list[Array], taken: Array
) -> Array:
    return hvae.decode(variables, noise, samples=samples, taken=taken)
