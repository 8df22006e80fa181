"""All choices that depend on the platform that a program is compiled for, in one table.

The platform is that of the devices which hold the arrays, not that of the process: a process on a
GPU may work on arrays of its host. What is traced has no devices; there `lax.platform_dependent`
chooses when the trace is compiled, between the rows of this table (`traced_rows`) and between
the ways of a convolution (`convolved_by_way`) and of a decomposition (`svd`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial, wraps
from typing import Any, Literal, NamedTuple, TypeVar

import jax
from jax import lax

Options = tuple[tuple[str, Any], ...]
Convolutions = Literal["direct", "products", "native"]
T = TypeVar("T")


class Choices(NamedTuple):
    """The choices that suit the devices of a platform.

    Attributes:
        block_entries: entries of a block of rows by all columns, in an n x n computation.
        block_rows: the most rows of such a block.
        block_options: options of the compiler, for programs that work on blocks.
        start_options: options of the compiler, for a program that runs once.
        step_options: options of the compiler, for programs of training steps.
        way: how the members of an ensemble share a device, of `train_ensemble`.
        settles_on_device: whether the comparisons that products leave open are settled on the
            device. On the host that compiles less, but all that is open has to get there.
    """

    block_entries: int
    block_rows: int
    block_options: Options
    start_options: Options
    step_options: Options
    way: str
    settles_on_device: bool


CPU = Choices(
    block_entries=2**22,
    block_rows=2**10,
    # Blocks are long; side by side they would only contend for the same cores.
    block_options=(("xla_cpu_scheduler_type", "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"),),
    # With this option the start of a deep network compiles in a quarter of the time.
    start_options=(("xla_backend_optimization_level", 1),),
    # Products are left to YNNPACK, and sums are not: the one over all pixels of a batch, with what
    # is summed, is slow there, which the steps of small dense networks feel most.
    step_options=(("xla_cpu_experimental_ynn_fusion_type", "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"),),
    # Batched models are no faster: the products of one share the cores.
    way="map",
    settles_on_device=False,
)
# An accelerator takes larger blocks, or it is not full, and many small models at once.
ACCELERATOR = Choices(
    block_entries=2**28,
    block_rows=2**16,
    block_options=(),
    start_options=(),
    step_options=(),
    way="vmap",
    settles_on_device=True,
)

# Where the host goes through the blocks, the compiler for TPU makes longer programs of blocks of
# more rows.
TPU = ACCELERATOR._replace(block_rows=2**12)
_CHOICES = {"cpu": CPU, "tpu": TPU}

_target: ContextVar[str | None] = ContextVar("target", default=None)
_convolutions: ContextVar[Convolutions | None] = ContextVar("convolutions", default=None)


def choices_for(*arrays: Any) -> Choices:
    """The choices that suit the devices that hold these arrays, or trees of them."""
    return _CHOICES.get(platform_of(*arrays), ACCELERATOR)


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


def jit_steps(*, static_argnames: Sequence[str]) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """`jax.jit` for programs of training steps, with the options that suit their devices."""

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        @cache
        def program(options: Options) -> Callable[..., T]:
            return jax.jit(
                function, static_argnames=static_argnames, compiler_options=dict(options)
            )

        @wraps(function)
        def call(*given: Any, **named: Any) -> T:
            return program(_known(choices_for(given).step_options))(*given, **named)

        return call

    return decorate


@cache
def _known(options: Options) -> Options:
    """These options, or none if the compiler lacks one: those that only save time may go away."""
    if not options:
        return options
    try:
        jax.jit(lambda: 0, compiler_options=dict(options)).lower().compile()
    except jax.errors.JaxRuntimeError:
        return ()
    return options


@contextmanager
def compiled_for(platform: str) -> Iterator[None]:
    """Choices as if all arrays of JAX were on this platform, for compilation ahead of time."""
    token = _target.set(platform)
    try:
        yield
    finally:
        _target.reset(token)


def svd(values: jax.Array, *, vectors: bool = True) -> Any:
    """The singular value decomposition `u, s, v` of a matrix, or s alone, as accurate as on CPU.

    The one that JAX chooses for CUDA, by rotations of Jacobi, stops too early: on an NVIDIA H200
    the sum of 150 singular values was wrong by 4e-5 of it, and is by 1e-8 here.
    """
    way = partial(lax.linalg.svd, full_matrices=False, compute_uv=vectors)
    exact = partial(way, algorithm=lax.linalg.SvdAlgorithm.QR)
    return lax.platform_dependent(values, cuda=exact, default=way)


def convolved_by_way(ways: Mapping[Convolutions, Callable[..., Any]], *given: Any) -> Any:
    """The result of one of several functions of the same values, by the platform.

    Args:
        ways: `direct`, which CPU takes, `products`, for CUDA, and `native`, for all others.
        given: what the function is given.
    """
    asked = _convolutions.get()
    if asked is not None:
        return ways[asked](*given)
    return lax.platform_dependent(
        *given, cpu=ways["direct"], cuda=ways["products"], default=ways["native"]
    )


@contextmanager
def convolutions_as(kind: Convolutions) -> Iterator[None]:
    """Within the block, convolutions are of one kind on every platform, to compare them."""
    token = _convolutions.set(kind)
    try:
        yield
    finally:
        _convolutions.reset(token)
