"""The memory that there is for training, and that it needs at the very least."""

import math
from typing import Any

import jax
from jax.sharding import Mesh

from jaxvae.memory import GIBIBYTE, available_memory, whole_memory

# States of a model that there are at once while it is trained.
_STATES = 3


def refuse_too_large(state: int, *, batch: int = 0, members: int = 1, devices: int = 1) -> None:
    """Refuse what cannot be trained in the memory there is.

    What is counted are three states, that with which training began, which its caller keeps, and
    those before and after a step, and what the layers make of a batch. Not counted is that
    members are first made, and read from a file, on one device, before they are split over more.

    Args:
        state: bytes of the `TrainState` of a model.
        batch: bytes of what a device holds of the outputs of the model, where they are known.
        members: models that are trained together, in one program.
        devices: devices that share them.

    Raises:
        ValueError: says how much is needed, how much there is, and what to do.
    """
    needed = _STATES * state * -(-members // devices) + batch
    # What counts is the memory of the device that trains; on CPU that is the memory of the host.
    stats = jax.local_devices()[0].memory_stats() or {}
    available = float(stats.get("bytes_limit", available_memory()))
    if needed > available:
        most = devices * int(available // (_STATES * state))
        cure = "choose a smaller network or batch"
        together = f" of {members:,} models that are trained together" if members > 1 else ""
        if 0 < most < members:
            cure += f", or --members of at most {most:,} for a sweep in a new folder"
        raise ValueError(
            f"expected at most {available / GIBIBYTE:,.1f} GiB, the memory available, for the "
            f"parameters, the optimizer and a batch{together}, got {needed / GIBIBYTE:,.1f} GiB; "
            f"{cure}"
        )


def device_memory(mesh: Mesh | None) -> float:
    """The bytes of memory of a device; on CPU, its part of the memory of the host.

    However busy it is: what is decided by it is decided in the same way when a run goes on.

    Args:
        mesh: devices that share a training, or None for the default device.
    """
    devices = jax.local_devices()[:1] if mesh is None else mesh.local_devices
    stats = devices[0].memory_stats() or {}
    return float(stats.get("bytes_limit", whole_memory() / len(devices)))


def tree_bytes(tree: Any) -> int:
    """The bytes of all arrays of a tree, or of arrays of these shapes."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
