"""Trained variables -> what every layer makes of a data set, in batches."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jaxvae.data.taps import ArraySpec, open_taps, write_taps
from jaxvae.files.refusals import as_count
from jaxvae.geometry.arrays import refuse_no_key
from jaxvae.models.hvae import HVAE
from jaxvae.models.vae import VAE, Variables
from jaxvae.training.images import checked_images, unit_interval
from jaxvae.typing import ArrayLike, Key


def capture(
    vae: VAE | HVAE,
    variables: Variables,
    images: ArrayLike,
    *,
    key: Key,
    batch_size: int = 1000,
    layers: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """The taps of a trained model over a data set, in evaluation mode.

    Args:
        vae: the model, a `VAE` or an `HVAE`.
        variables: what it learned.
        images: uint8 `[n, h, w, c]`.
        key: key of the posterior noise. Example i gets the same noise whatever the
            batch size.
        batch_size: examples on the device at a time.
        layers: names of the taps to keep; None for all.

    Returns:
        The taps by name, in depth order, `[n, ...]` float32 on the host.

    Raises:
        ValueError: for images that the model does not take, layers that it does not have, a
            batch_size below 1, and what is no key.
    """
    images, batch_size = checked_batches(vae, images, batch_size=batch_size)
    batches = _batches(vae, variables, images, key, batch_size)
    specs = captured_spaces(vae, variables, len(images), batch_size=batch_size, layers=layers)
    taps = {name: np.empty(spec.shape, spec.dtype) for name, spec in specs.items()}
    for start, outputs in zip(range(0, len(images), batch_size), batches, strict=True):
        for name, rows in _fetch(outputs, taps).items():
            taps[name][start : start + batch_size] = rows
    return taps


def capture_to(
    path: str | os.PathLike[str],
    vae: VAE | HVAE,
    variables: Variables,
    images: ArrayLike,
    *,
    key: Key,
    batch_size: int = 1000,
    layers: Sequence[str] | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """The taps of a trained model over a data set, written to disk batch by batch.

    The numbers are those of `capture`. Memory holds one batch, and for zarr one chunk
    of every layer. The capture appears at `path` when it is complete; an interrupted
    one leaves nothing, and an earlier one there stays until then.

    Args:
        path: a zarr group where it ends in `.zarr` (needs zarr 3), else a folder of
            `.npy` files and `taps.json`. Folders above it are made.
        vae: the model.
        variables: what it learned.
        images: uint8 `[n, h, w, c]`, may be memory-mapped.
        key: key of the posterior noise, as for `capture`.
        batch_size: examples on the device at a time.
        layers: names of the taps to keep; None for all.
        report: called with the number of examples done after every batch.

    Returns:
        The taps by name, in depth order, memory-mapped or as zarr arrays: what
        `jaxvae.data.taps.open_taps(path)` gives later.

    Raises:
        ValueError: for images that the model does not take, layers that it does not have, a
            batch_size below 1, and what is no key.
        FileExistsError: where `path` holds anything but an earlier capture.
        ModuleNotFoundError: for `.zarr` without zarr 3.
        OSError: if the disk cannot be written.
    """
    images, batch_size = checked_batches(vae, images, batch_size=batch_size)
    batches = _batches(vae, variables, images, key, batch_size)
    spaces = captured_spaces(vae, variables, len(images), batch_size=batch_size, layers=layers)
    with write_taps(path, spaces) as append:
        for start, outputs in zip(range(0, len(images), batch_size), batches, strict=True):
            append(_fetch(outputs, spaces))
            report(min(start + batch_size, len(images)))
    return open_taps(path)


def _batches(
    vae: VAE | HVAE, variables: Variables, images: ArrayLike, key: Key, batch_size: int
) -> Iterator[Any]:
    batches = noisy_batches(vae, images, key=key, batch_size=batch_size)
    return (_evaluate(vae, variables, rows, noise) for rows, noise in batches)


def noisy_batches(
    vae: VAE | HVAE, images: ArrayLike, *, key: Key, batch_size: int
) -> Iterator[tuple[Array, Array]]:
    """Batches of images and their posterior noise, one after another, on the device.

    Example i gets the same noise whatever the batch size: that of `capture` with the key.

    Raises:
        ValueError: at once, for images that the model does not take.
    """
    images, batch_size = checked_batches(vae, images, batch_size=batch_size)
    refuse_no_key(key)
    noise = posterior_noise(key, n=len(images), latents=vae.latents)
    batches = (slice(at, at + batch_size) for at in range(0, len(images), batch_size))
    return ((jnp.asarray(images[batch]), noise[batch]) for batch in batches)


@partial(jax.jit, static_argnames=("n", "latents"))
def posterior_noise(key: Key, *, n: int, latents: int) -> Float[Array, "n k"]:
    """Standard normal noise; with more examples or more latents, that of fewer is among it.

    That is so for the keys that JAX makes by default. So a model that is padded to more latents is
    evaluated as it would be alone.
    """
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(latents))
    return jax.vmap(lambda own: jax.random.normal(own, (n,), jnp.float32), out_axes=1)(keys)


def checked_batches(
    vae: VAE | HVAE, images: ArrayLike, *, batch_size: int
) -> tuple[UInt8[ArrayLike, "n h w c"], int]:
    """Images that the model takes, and how many of them at a time.

    Raises:
        ValueError: says what was expected and what came.
    """
    refusal = f"expected a batch_size of at least 1, got {batch_size}"
    return checked_images(images, vae.image_shape), as_count(batch_size, refusal, least=1)


@partial(jax.jit, static_argnames="vae")
def _evaluate(vae: VAE | HVAE, variables: Variables, images: Array, noise: Array) -> Any:
    return vae.apply(variables, unit_interval(images), noise)


def captured_spaces(
    vae: VAE | HVAE,
    variables: Variables,
    n: int,
    *,
    batch_size: int = 1000,
    layers: Sequence[str] | None = None,
) -> dict[str, ArraySpec]:
    """The shapes and types of the taps of n examples, in depth order, before any is captured.

    Args:
        vae: the model.
        variables: what it learned, or the shapes of that.
        n: examples.
        batch_size: examples on the device at a time.
        layers: names of the taps; None for all.

    Raises:
        ValueError: for layers that the model does not have.
    """
    # The shapes are those of a whole batch, so that it is traced only once.
    b = min(n, batch_size)
    images = jax.ShapeDtypeStruct((b, *vae.image_shape), jnp.uint8)
    noise = jax.ShapeDtypeStruct((b, vae.latents), jnp.float32)
    taps = _evaluate.eval_shape(vae, variables, images, noise).taps
    unknown = [name for name in layers or () if name not in taps]
    if unknown or (layers is not None and not layers):
        got = ", ".join(unknown) or "none"
        raise ValueError(f"expected layers among {', '.join(taps)}; got {got}")
    return {
        name: ArraySpec((n, *tap.shape[1:]), np.dtype(tap.dtype))
        for name, tap in taps.items()
        if layers is None or name in layers
    }


def _fetch(outputs: Any, names: dict[str, Any]) -> dict[str, np.ndarray]:
    return jax.device_get({name: outputs.taps[name] for name in names})
