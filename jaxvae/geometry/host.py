"""Arrays on the host are computed with NumPy, which compiles nothing; others with JAX."""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import get_opaque_trace_state
from jaxtyping import Array, Float, Int, UInt32

from jaxvae.platforms import platform_of
from jaxvae.typing import ArrayLike, EitherArray

# So few numbers are prepared on the host in less time than a program for it takes to compile.
_FEW_ENTRIES = 2**19
# The largest array from which the C library learns: a little below 32 MB.
_LARGEST_LEARNED = 2**25 - 2**16
# The state where nothing is traced, which is that while modules are imported.
_TOP = get_opaque_trace_state(convention="nnx")

Function = Callable[..., Any]


@cache
def keep_freed_memory() -> None:
    """Have the C library keep up to 64 MB that are free, instead of giving them back at once.

    A search makes and frees arrays of megabytes again and again. Memory that comes from the
    system is a fault for every page, a fifth of the time of a search of 1,500 points. The malloc of
    glibc keeps what is free, twice the largest array of up to 32 MB that it has seen freed.
    That one need not be written to, so that it takes no memory.
    """
    np.empty(_LARGEST_LEARNED, np.uint8)


def sort(values: Float[EitherArray, "..."], *, axis: int = -1) -> Float[EitherArray, "..."]:
    """Ascending numbers, of which equal ones need no order: accelerators compile it in half."""
    if isinstance(values, np.ndarray):
        return np.sort(values, axis=axis)
    return jnp.sort(values, axis=axis, stable=False)


def is_on_host(array: Any) -> bool:
    """Whether the values of an array are known and in the memory of the host."""
    if isinstance(array, jax.core.Tracer):
        return False
    return not isinstance(array, jax.Array) or platform_of(array) == "cpu"


def is_few(array: ArrayLike) -> bool:
    """Whether an array is NumPy's and so small that it is prepared on the host.

    Compiling a program for it would take longer than the work.
    """
    return isinstance(array, np.ndarray) and array.size <= _FEW_ENTRIES


def numpy_of(array: ArrayLike) -> Any:
    """The module whose functions take this array where it is: `numpy`, or `jax.numpy`."""
    return np if isinstance(array, np.ndarray | np.generic) else jnp


def rows_of(array: EitherArray, at: Int[EitherArray, "*s"]) -> EitherArray:
    """`array[at]`; NumPy takes whole rows in half the time of an index."""
    return array.take(at, axis=0) if isinstance(array, np.ndarray) else array[at]


def as_bits(values: Float[EitherArray, "*s"]) -> UInt32[EitherArray, "*s"]:
    """The bits of float32 numbers."""
    if isinstance(values, np.ndarray):
        return values.view(np.uint32)
    return lax.bitcast_convert_type(values, jnp.uint32)


def from_bits(bits: UInt32[EitherArray, "*s"]) -> Float[EitherArray, "*s"]:
    """The float32 numbers that have these bits."""
    if isinstance(bits, np.ndarray):
        return bits.view(np.float32)
    return lax.bitcast_convert_type(bits, jnp.float32)


def as_results(tree: Any) -> Any:
    """Numbers of float64 and int64 as the arrays of 32 bits that metrics give."""

    def narrow(leaf: ArrayLike) -> Array:
        kinds = {"f": np.float32, "i": np.int32, "u": np.uint32}
        return jax.device_put(leaf.astype(kinds.get(np.dtype(leaf.dtype).kind, leaf.dtype)))

    return jax.tree.map(narrow, tree)


def known_now(function: Function) -> Function:
    """A function of known arrays, which is worked on now also where another one is traced."""

    @wraps(function)
    def known(*given: Any, **options: Any) -> Any:
        if get_opaque_trace_state(convention="nnx") == _TOP:
            # Else constants of what is compiled would be programs of their own.
            return function(*given, **options)
        with jax.ensure_compile_time_eval():
            return function(*given, **options)

    return known
