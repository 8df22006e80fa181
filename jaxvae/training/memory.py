"""The memory that training needs at the very least, before any of it is allocated."""

import math
from typing import Any

import jax

from jaxvae.data.memory import GIBIBYTE, available_memory


def refuse_too_large(state: Any, *, batch: Any = ()) -> None:
    """Refuse what cannot be trained in the memory there is.

    While a step runs there are its state before and after, and what the layers make of a batch.

    Args:
        state: shapes of a `TrainState`, or of an `Ensemble`.
        batch: shapes of the outputs of the model, where they are known.

    Raises:
        ValueError: says how much is needed, and how much there is.
    """
    needed = 2 * _bytes(state) + _bytes(batch)
    # Of the device that trains; on CPU that is the memory of the host.
    stats = jax.devices()[0].memory_stats() or {}
    available = float(stats.get("bytes_limit", available_memory()))
    if needed > available:
        raise ValueError(
            f"expected at most {available / GIBIBYTE:,.1f} GiB, the memory available, for the "
            f"parameters, the optimizer and a batch, got {needed / GIBIBYTE:,.1f} GiB; "
            "choose a smaller network or batch"
        )


def _bytes(tree: Any) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
