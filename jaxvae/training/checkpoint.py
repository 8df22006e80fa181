"""Snapshots of any tree of arrays, written whole or not at all."""

import shutil
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp

from jaxvae.training.signals import postponed

Tree = TypeVar("Tree")

_PREFIX = "step-"
# Orbax writes it last, before it renames the folder into place.
_COMMITTED = "commit_success.txt"


def save(directory: Path, step: int, tree: Tree) -> None:
    """Write `tree` under `directory` as the snapshot of `step`.

    The snapshot appears under its name only when it is complete; one that is
    there already is replaced.

    Args:
        directory: made where absent.
        step: a count that orders the snapshots.
        tree: arrays, typed PRNG keys and NamedTuples of them.
    """
    place = _place(directory, step)
    if place.exists():
        _remove(place)
    # What a kill left: Orbax would remove it too, but with a warning.
    for part in directory.glob(f"{place.name}.*"):
        shutil.rmtree(part)
    # Broken off, Orbax leaves coroutines behind that complain on the terminal.
    with postponed():
        ocp.save(place.absolute(), tree)


def load(directory: Path, step: int, like: Tree) -> Tree:
    """The snapshot of `step`, in the structure, shapes and dtypes of `like`.

    Args:
        directory: where `save` put it.
        step: one of `steps(directory)`.
        like: a tree of arrays or of `jax.ShapeDtypeStruct`.

    Raises:
        ValueError: if there is no such snapshot, or its files are damaged.
    """
    if step not in steps(directory):
        raise ValueError(f"expected a snapshot among {steps(directory)} in {directory}, got {step}")
    place = _place(directory, step)
    try:
        loaded = ocp.load(place.absolute(), jax.tree.map(_on_device, like))
    except ValueError as error:
        raise ValueError(
            f"expected a whole snapshot of the same tree in {place}; remove that folder"
        ) from error
    return jax.tree.map(_uncommitted, loaded, like)


def steps(directory: Path) -> list[int]:
    """The complete snapshots under `directory`, ascending."""
    names = [path.parent.name for path in directory.glob(f"{_PREFIX}*/{_COMMITTED}")]
    numbers = [name.removeprefix(_PREFIX) for name in names]
    return sorted(int(number) for number in numbers if number.isdigit())


def keep_latest(directory: Path) -> None:
    """Remove all snapshots but the latest, and what an interrupted `save` left."""
    complete = steps(directory)
    for path in directory.glob(f"{_PREFIX}*"):
        if complete and path != _place(directory, complete[-1]):
            _remove(path)


def _place(directory: Path, step: int) -> Path:
    return directory / f"{_PREFIX}{step:010d}"


def _remove(place: Path) -> None:
    """Remove a snapshot; one whose removal is interrupted no longer looks complete."""
    (place / _COMMITTED).unlink(missing_ok=True)
    shutil.rmtree(place)


def _on_device(leaf: Any) -> jax.ShapeDtypeStruct:
    """What to read, on a device of this machine rather than on one of the writer's."""
    sharding = getattr(leaf, "sharding", None)
    sharding = sharding or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _uncommitted(leaf: Any, like: Any) -> Any:
    """A loaded array as new ones are, which `jit` may place where it likes.

    An array that is committed to its device is another case to `jit`: after a resumption it
    would compile everything again.
    """
    sharded = getattr(like, "sharding", None) is not None
    if like.committed if isinstance(like, jax.Array) else sharded:
        return leaf
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = jnp.asarray(np.asarray(jax.random.key_data(leaf)))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    return jnp.asarray(np.asarray(leaf))
