"""Devices that share a training: what all of them hold, and what is split between them."""

from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")

AXIS = "devices"


def in_line(mesh: Mesh) -> Mesh:
    """The devices of a mesh along one axis, whose sharding the compiler follows."""
    return Mesh(mesh.devices.ravel(), AXIS)


def everywhere(mesh: Mesh) -> NamedSharding:
    """On every device the whole."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """On every device its part along one axis."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))


def chosen_devices(count: int | None) -> Mesh | None:
    """The first so many devices that there are; None for the one that JAX takes by itself.

    Raises:
        ValueError: for more devices than there are; says how many.
    """
    if count is None:
        return None
    there = jax.devices()
    if count > len(there):
        raise ValueError(
            f"expected at most {len(there)} devices, which JAX finds here "
            f"({there[0].device_kind}), got {count}"
        )
    return Mesh(np.array(there[:count]), AXIS)


def dealt(tree: Tree, mesh: Mesh) -> Tree:
    """Arrays `[m, ...]` split over the devices, as many rows on each: the last is repeated."""
    missing = -len(jax.tree.leaves(tree)[0]) % mesh.size
    if missing:
        tree = _filled(jax.device_put(tree, everywhere(mesh)), missing)
    return jax.device_put(tree, split(mesh))


@partial(jax.jit, static_argnums=1)
def cut_off(tree: Tree, length: int) -> Tree:
    """The first rows of arrays `[m, ...]`."""
    return jax.tree.map(lambda leaf: leaf[:length], tree)


@partial(jax.jit, static_argnums=1)
def _filled(tree: Tree, missing: int) -> Tree:
    def filled(leaf: jax.Array) -> jax.Array:
        return jnp.concatenate([leaf, jnp.repeat(leaf[-1:], missing, axis=0)])

    return jax.tree.map(filled, tree)


def gathered(tree: Tree) -> Tree:
    """The same arrays as new ones are, which `jit` may place where it likes.

    An array that is committed to its devices is another case to `jit`, which would compile
    everything again.
    """

    def new(leaf: Any) -> Any:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = jnp.asarray(np.asarray(jax.random.key_data(leaf)))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        return jnp.asarray(np.asarray(leaf))

    return jax.tree.map(new, tree)
