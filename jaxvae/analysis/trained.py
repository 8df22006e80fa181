"""A trained model, ready to use: images to latents and back, in batches, NumPy out."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvae.analysis.batches import in_batches
from jaxvae.analysis.generation import ancestral_samples
from jaxvae.analysis.pixels import as_pixels, checked_floats
from jaxvae.geometry.arrays import as_array
from jaxvae.models.hvae import HVAE
from jaxvae.models.vae import VAE, Variables
from jaxvae.runs.config import RunConfig
from jaxvae.runs.saved import SavedRun, open_run
from jaxvae.training.images import checked_images
from jaxvae.typing import ArrayLike, ImageShape, Key

# One array of a VAE; one for every layer of a hierarchy, from the top.
Latents = np.ndarray | tuple[np.ndarray, ...]


class Encoding(NamedTuple):
    """The posterior of every image, on the host.

    Attributes:
        mean: `[n, k]` float32; of a hierarchy `[n, *shape]` for every layer from the top, each
            given the means of those above.
        log_variance: the logarithm of the variances, likewise.
    """

    mean: Latents
    log_variance: Latents


class TrainedModel(NamedTuple):
    """A saved run, to encode, decode, reconstruct and sample with.

    All take and give arrays of any number of rows, of which `batch_size` are on the device at a
    time. Images are uint8 `[n, h, w, c]`, or floats in [0, 1]; gray ones may be `[n, h, w]`.
    Images that come back are expected ones, float32 `[n, h, w, c]` clipped to [0, 1].

    Attributes:
        run: the run as its folder holds it.
    """

    run: SavedRun

    @property
    def variables(self) -> Variables:
        """The learned variables: parameters, and statistics of batch normalization."""
        return self.run.variables

    @property
    def config(self) -> RunConfig:
        """The settings of the run."""
        return self.run.config

    @property
    def vae(self) -> VAE | HVAE:
        """The model as pure functions."""
        return self.run.vae

    def encode(self, images: ArrayLike, *, batch_size: int = 1000) -> Encoding:
        """The mean and log-variance of the posterior of every image.

        Raises:
            ValueError: for images that the model does not take.
        """
        pixels = _pixels(images, self.vae.image_shape)
        program = partial(_encode, self.vae, self.variables)
        return Encoding(*in_batches(program, pixels, batch_size))

    def reconstruct(
        self, images: ArrayLike, *, batch_size: int = 1000
    ) -> Float[np.ndarray, "n h w c"]:
        """The expected image at the posterior mean of every image.

        Raises:
            ValueError: for images that the model does not take.
        """
        pixels = _pixels(images, self.vae.image_shape)
        return in_batches(partial(_reconstruct, self.vae, self.variables), pixels, batch_size)

    def decode(
        self, latents: ArrayLike | Sequence[ArrayLike], *, batch_size: int = 1000
    ) -> Float[np.ndarray, "n h w c"]:
        """The expected image at given latents: `[n, k]`, or one array a layer of a hierarchy.

        Raises:
            ValueError: for latents of another shape, and NaN or infinity among them.
        """
        values = _checked_latents(self.vae, latents)
        return in_batches(partial(_decode, self.vae, self.variables), values, batch_size)

    def sample(self, n: int, *, key: Key, batch_size: int = 1000) -> Float[np.ndarray, "n h w c"]:
        """The expected image of n draws from the prior: same key, same images.

        Raises:
            ValueError: for fewer than one.
        """
        return ancestral_samples(self.vae, self.variables, key=key, n=n, batch_size=batch_size)


def load_run(
    folder: str | os.PathLike[str],
    *,
    epoch: int | None = None,
    step: int | None = None,
    trust: bool = False,
) -> TrainedModel:
    """A trained model with its variables, from the folder of its run.

    Args:
        folder: folder of `jaxvae train`; or OUT/NAME, the run NAME of a sweep or an experiment in
            OUT.
        epoch: epoch of the snapshot, where several were kept.
        step: step of the snapshot, in place of the epoch. Without either, the latest.
        trust: whether code outside of jaxvae that the folder names, such as a network of
            your own, may run.

    Raises:
        ValueError: for a folder that holds no run or none that has saved anything yet, one
            without that snapshot, with damaged files, or that names other code and is not
            trusted.
        OSError: for files that cannot be read.
    """
    return TrainedModel(open_run(Path(folder), step, epoch=epoch, trust=trust))


@partial(jax.jit, static_argnames="vae")
def _encode(vae: VAE | HVAE, variables: Variables, images: Array) -> tuple[Any, Any]:
    outputs = _decided(vae, variables, images)
    if not isinstance(vae, HVAE):
        return outputs.mean, outputs.log_variance
    posteriors = [layer.posterior for layer in outputs.layers]
    means, log_variances = zip(*posteriors, strict=True)
    return means, log_variances


@partial(jax.jit, static_argnames="vae")
def _reconstruct(vae: VAE | HVAE, variables: Variables, images: Array) -> Array:
    return jnp.clip(_decided(vae, variables, images).taps["output"], 0.0, 1.0)


@partial(jax.jit, static_argnames="vae")
def _decode(vae: VAE | HVAE, variables: Variables, latents: Any) -> Array:
    if not isinstance(vae, HVAE):
        return jnp.clip(vae.decode(variables, latents), 0.0, 1.0)
    # With the samples of all layers given, nothing depends on the noise.
    noise = jnp.zeros((len(latents[0]), vae.latents))
    return jnp.clip(vae.decode(variables, noise, samples=latents), 0.0, 1.0)


def _decided(vae: VAE | HVAE, variables: Variables, images: Array) -> Any:
    """The outputs of a model with every sample at its posterior mean."""
    return vae.apply(variables, as_pixels(images), jnp.zeros((len(images), vae.latents)))


def _pixels(images: ArrayLike, image_shape: ImageShape) -> ArrayLike:
    """Images as bytes or float32 in [0, 1], of the shape that the model takes."""
    given = as_array(images)
    if image_shape[2] == 1 and given.shape[1:] == image_shape[:2]:
        given = given[..., None]
    if not jnp.issubdtype(given.dtype, jnp.floating):
        return checked_images(given, image_shape)
    if given.shape[1:] != image_shape or len(given) == 0:
        shape = ", ".join(map(str, image_shape))
        raise ValueError(f"expected images [n, {shape}], got {given.dtype} {given.shape}")
    return checked_floats(given)


def _checked_latents(vae: VAE | HVAE, latents: ArrayLike | Sequence[ArrayLike]) -> Latents:
    several = isinstance(vae, HVAE)
    if isinstance(latents, Encoding):
        raise ValueError(
            "expected latents, such as the mean of an encoding, got all of an Encoding"
        )
    if several and not isinstance(latents, Sequence | np.ndarray | jax.Array):
        raise ValueError(f"expected the latents of every layer, got {type(latents).__name__}")
    given: Any = latents if several else (latents,)
    arrays = tuple(np.asarray(as_array(each), np.float32) for each in given)
    wanted, n = vae.shapes, len(arrays[0]) if arrays and arrays[0].ndim else 0
    if not n or [array.shape for array in arrays] != [(n, *shape) for shape in wanted]:
        shapes = "; ".join(", ".join(map(str, ("n", *shape))) for shape in wanted)
        layers = f"the latents of {len(wanted)} layers from the top, " if several else "latents "
        got = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"expected {layers}[{shapes}], got {got}")
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("expected finite latents, got NaN or infinity")
    return arrays if several else arrays[0]
