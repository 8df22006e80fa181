"""Devices that share a training: what all of them hold, and what is split between them."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

P = ParamSpec("P")
Result = TypeVar("Result")
Tree = TypeVar("Tree")

AXIS = "devices"


def in_line(mesh: Mesh) -> Mesh:
    """The devices of a mesh along one axis, whose sharding the compiler follows.

    Raises:
        ValueError: for what is no mesh.
    """
    if not isinstance(mesh, Mesh):
        raise ValueError(f"expected a mesh, such as jax.make_mesh((2,), ('devices',)), got {mesh}")
    return Mesh(mesh.devices.ravel(), AXIS)


def on_its_own_mesh(function: Callable[P, Result]) -> Callable[P, Result]:
    """A training on the mesh that it is given, also where another is set for all programs."""

    @wraps(function)
    def run(*given: P.args, **options: P.kwargs) -> Result:
        mesh: Any = options.get("mesh")
        line = None if mesh is None else in_line(mesh)
        if line is None or jax.sharding.get_abstract_mesh().empty:
            return function(*given, **options)
        with jax.set_mesh(line):
            return function(*given, **options)

    return run


def everywhere(mesh: Mesh) -> NamedSharding:
    """A sharding that puts the whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """A sharding that splits the array along one axis over the devices."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))


def chosen_devices(count: int | None) -> Mesh | None:
    """So many devices; of several processes, by default, all; None for the one that JAX takes.

    Raises:
        ValueError: for more devices than there are, and less than all of several processes.
    """
    if count is None and jax.process_count() == 1:
        return None
    devices = jax.devices()
    count = len(devices) if count is None else count
    if jax.process_count() > 1 and count != len(devices):
        raise ValueError(
            f"expected all {len(devices)} devices of {jax.process_count()} processes, got {count}"
        )
    if count > len(devices):
        raise ValueError(
            f"expected at most {len(devices)} devices, which JAX finds here "
            f"({devices[0].device_kind}), got {count}"
        )
    return Mesh(np.array(devices[:count]), AXIS)


def put(tree: Tree, sharding: NamedSharding) -> Tree:
    """Arrays on the devices of a mesh, also those that each of several processes has by itself."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    of_all = [leaf.sharding for leaf in jax.tree.leaves(tree) if not _is_own(leaf)]
    if of_all:
        # In one program: of several at once, processes could begin others than each other.
        return tree if all(each == sharding for each in of_all) else _moved(tree, sharding)

    def sent(leaf: Any) -> Any:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = sent(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        known = np.asarray(leaf)
        return jax.make_array_from_callback(known.shape, sharding, lambda index: known[index])

    return jax.tree.map(sent, tree)


def _is_own(leaf: Any) -> bool:
    """Whether this process has all of an array."""
    return not isinstance(leaf, jax.Array) or leaf.is_fully_addressable


@partial(jax.jit, static_argnums=1)
def _moved(tree: Tree, sharding: NamedSharding) -> Tree:
    return lax.with_sharding_constraint(tree, sharding)


def shapes_on(shapes: Tree, sharding: NamedSharding) -> Tree:
    """Shapes of arrays that are to be on these devices."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes
    )


def dealt(tree: Tree, mesh: Mesh) -> Tree:
    """Arrays `[m, ...]` split over the devices, as many rows on each: the last is repeated."""
    rows = len(jax.tree.leaves(tree)[0])
    missing = -rows % mesh.size
    if missing:
        # On the host, or every device would hold all of them for a moment.
        tree = rows_of(tree, np.minimum(np.arange(rows + missing), rows - 1))
    return put(tree, split(mesh))


def rows_of(tree: Tree, rows: Any) -> Tree:
    """Some rows of arrays `[m, ...]`, on the host; those of keys, which it cannot hold, are not.

    Args:
        tree: arrays on devices of this process, or on the host.
        rows: a number, a slice, or an array of numbers.
    """
    return jax.tree.map(lambda leaf: leaf[rows], _on_host(tree))


def gathered(tree: Tree) -> Tree:
    """New arrays with the same values, which `jit` may place where it likes.

    An array that is committed to its devices is another case to `jit`, which would compile
    everything again.
    """
    return jax.tree.map(jnp.asarray, _on_host(tree))


def _on_host(tree: Tree) -> Tree:
    """Arrays of NumPy, and new ones of keys."""

    def fetched(leaf: Any) -> Any:
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return np.asarray(leaf)
        data = jnp.asarray(np.asarray(jax.random.key_data(leaf)))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))

    return jax.tree.map(fetched, tree)
