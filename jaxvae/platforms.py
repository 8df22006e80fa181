"""All choices that depend on the platform that a program is compiled for, in one table.

The platform is that of the devices which hold the arrays, not that of the process: a process on a
GPU may work on arrays of its host. What is traced has no devices; there `lax.platform_dependent`
chooses when the trace is compiled, between the rows of this table (`traced_rows`) and between
convolutions as products and native ones (`as_products_or_native`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple

import jax
from jax import lax

Options = tuple[tuple[str, Any], ...]
Convolutions = Literal["products", "native"]


class Choices(NamedTuple):
    """The choices that suit the devices of a platform.

    Attributes:
        block_entries: entries of a block of rows by all columns, in an n x n computation.
        block_rows: the most rows of such a block.
        block_options: options of the compiler, for programs that work on blocks.
        start_options: options of the compiler, for a program that runs once.
        way: how the members of an ensemble share a device, of `train_ensemble`.
    """

    block_entries: int
    block_rows: int
    block_options: Options
    start_options: Options
    way: str


CPU = Choices(
    block_entries=2**22,
    block_rows=2**10,
    # Blocks are long; side by side they would only contend for the same cores.
    block_options=(("xla_cpu_scheduler_type", "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"),),
    # Of a deep network that takes a quarter of the time to compile.
    start_options=(("xla_backend_optimization_level", 1),),
    # One model fills the cores.
    way="map",
)
# Larger blocks, or it is not full; it holds many small models at once.
ACCELERATOR = Choices(
    block_entries=2**28, block_rows=2**16, block_options=(), start_options=(), way="vmap"
)

_target: ContextVar[str | None] = ContextVar("target", default=None)
_convolutions: ContextVar[Convolutions | None] = ContextVar("convolutions", default=None)


def choices_for(*arrays: Any) -> Choices:
    """The choices that suit the devices that hold these arrays, or trees of them."""
    return CPU if platform_of(*arrays) == "cpu" else ACCELERATOR


def platform_of(*arrays: Any) -> str:
    """`cpu`, `gpu` or `tpu`: where these arrays are, or trees of them.

    Arrays of NumPy, and those of a trace, count as being where JAX would put them.
    """
    target = _target.get()
    if target is not None:
        return target
    for leaf in jax.tree.leaves(arrays):
        if isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer):
            return next(iter(leaf.devices())).platform
    device = jax.config.values["jax_default_device"]
    return getattr(device, "platform", device) or jax.default_backend()


@contextmanager
def compiled_for(platform: str) -> Iterator[None]:
    """Choices as if all arrays of JAX were on this platform, for compilation ahead of time."""
    token = _target.set(platform)
    try:
        yield
    finally:
        _target.reset(token)


def as_products_or_native(
    products: Callable[..., Any], native: Callable[..., Any], *given: Any
) -> Any:
    """The result of one of two functions of the same values: of `products` on CPU and CUDA."""
    asked = _convolutions.get()
    if asked is not None:
        return (products if asked == "products" else native)(*given)
    return lax.platform_dependent(*given, cpu=products, cuda=products, default=native)


@contextmanager
def convolutions_as(kind: Convolutions) -> Iterator[None]:
    """Within the block, convolutions are of one kind on every platform, to compare the two."""
    token = _convolutions.set(kind)
    try:
        yield
    finally:
        _convolutions.reset(token)
