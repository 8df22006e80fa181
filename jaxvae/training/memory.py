"""The memory that training needs at the very least, before any of it is allocated."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxvae.data.memory import GIBIBYTE, available_memory
from jaxvae.models.hvae import HVAE
from jaxvae.models.vae import VAE


def refuse_too_large(model: VAE | HVAE, state: Any, *, batch_size: int, members: int = 1) -> None:
    """Refuse a model whose training cannot fit in memory.

    While a step runs there are its state before and after, gradients as large as the
    parameters, and what the layers make of a batch.

    Args:
        model: what is trained.
        state: shapes of its `TrainState`.
        batch_size: images a step.
        members: models that are trained together.

    Raises:
        ValueError: says how much is needed, and how much there is.
    """
    images = jax.ShapeDtypeStruct((batch_size, *model.image_shape), jnp.float32)
    noise = jax.ShapeDtypeStruct((batch_size, model.latents), jnp.float32)
    outputs = jax.eval_shape(model.apply, state.variables, images, noise)
    each = 2 * _bytes(state) + _bytes(state.variables.params) + _bytes(outputs)
    available = _device_memory()
    if members * each > available:
        raise ValueError(
            f"expected at most {available / GIBIBYTE:,.1f} GiB, the memory available, for the "
            f"parameters, the optimizer and a batch, got {members * each / GIBIBYTE:,.1f} GiB; "
            "choose a smaller network or batch"
        )


def _bytes(tree: Any) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _device_memory() -> float:
    """Of the device that trains; on CPU that is the memory of the host."""
    said = jax.devices()[0].memory_stats() or {}
    return float(said.get("bytes_limit", available_memory()))
