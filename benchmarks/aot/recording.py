"""A record of the programs that a computation runs, and of how often it runs them.

Metrics and training are driven from the host: they call several compiled functions, as their data
ask for. Here every function that `jax.jit` made after this module was imported notes its calls, but
for those that are part of a trace. Single operations outside of `jit` are not noted.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_jit = jax.jit


class Called(NamedTuple):
    """A compiled function with the shapes of its arguments.

    Attributes:
        function: of `jax.jit`.
        arguments: given by position; of arrays their shapes.
        options: given by name.
    """

    function: Any
    arguments: Any
    options: Any

    @property
    def key(self) -> Any:
        """Equal for calls of one program, whose numbers given by position may differ."""
        kinds = jax.tree.map(lambda leaf: _is_number(leaf) or leaf, self.arguments)
        leaves, structure = jax.tree.flatten((kinds, self.options))
        return self.function, structure, tuple(leaves)

    @property
    def name(self) -> str:
        """The name of the function."""
        wrapped = getattr(self.function, "__wrapped__", self.function)
        return str(getattr(wrapped, "func", wrapped).__name__).lstrip("_")

    def lowered(self, sharding: Any) -> Any:
        """The program for the devices of a sharding, before it is compiled."""
        return self.function.lower(*placed(self.arguments, sharding), **self.options)


class _Recording(NamedTuple):
    """The programs that were run, and whether they are computed: otherwise all results are zero."""

    calls: list[Called]
    is_computed: bool


_now: _Recording | None = None


class _Noted:
    """A compiled function that notes its calls."""

    def __init__(self, function: Any):
        self._function = function

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        leaves = jax.tree.leaves((arguments, options))
        if _now is None or any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            return self._function(*arguments, **options)
        # What jaxvae gives by name are options of the compilation.
        _now.calls.append(Called(self._function, jax.tree.map(_shape, arguments), options))
        if _now.is_computed:
            return self._function(*arguments, **options)
        return jax.tree.map(_zeros, self._function.eval_shape(*arguments, **options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


def calls_of(function: Callable[[], Any], *, is_computed: bool) -> list[Called]:
    """The calls of programs that a function makes.

    Args:
        function: to be called.
        is_computed: whether programs run, on the CPU; else all that they give is zero, which
            does where no number decides what runs next.
    """
    global _now  # noqa: PLW0603
    _now = _Recording([], is_computed)
    try:
        function()
        return _now.calls
    finally:
        _now = None


def placed(tree: Any, sharding: Any) -> Any:
    """Shapes of arrays as if these were on the devices of a sharding."""

    def on_devices(leaf: Any) -> Any:
        is_shape = isinstance(leaf, jax.ShapeDtypeStruct)
        return leaf.update(sharding=sharding) if is_shape else leaf

    return jax.tree.map(on_devices, tree)


def _shape(leaf: Any) -> Any:
    is_array = isinstance(leaf, jax.Array | np.ndarray | np.generic)
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if is_array else leaf


def _is_number(leaf: Any) -> bool:
    return isinstance(leaf, int | float)


def _zeros(shape: jax.ShapeDtypeStruct) -> jax.Array:
    if jnp.issubdtype(shape.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0), shape.shape)
    return jnp.zeros(shape.shape, shape.dtype)


jax.jit = lambda *given, **options: _Noted(_jit(*given, **options))
