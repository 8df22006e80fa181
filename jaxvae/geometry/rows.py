"""How the rows of a computation are split: into blocks, over devices, and over time."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Int

# Entries of a block of rows by all columns; an accelerator needs larger ones to be full.
_BLOCK_ENTRIES = {"cpu": 2**22}
_ACCELERATOR_ENTRIES = 2**28
_MOST_ROWS = {"cpu": 1024}
# A product of fewer rows spends its time on loading the other operand.
_FEWEST_ROWS = 192
_FEWEST_BLOCKS = 8
# Full blocks between two looks of the host: memory is set up once for all of them.
_STEP_BLOCKS = 32

# Blocks are long; side by side they would only contend for the same cores.
_COMPILER_OPTIONS = {"cpu": {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}}

Result = TypeVar("Result")
Progress = Callable[[int, int], None]


def over_rows(
    function: Callable[..., Any],
    operands: Any,
    n: int,
    *,
    columns: int,
    block: int | None = None,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
    **static: Any,
) -> Any:
    """Concatenate `function(operands, rows, **static)` over blocks of the rows 0 to n - 1.

    Given arrays, a host loop runs a few blocks after the other, so that it can be
    watched and interrupted. While a function is traced, the whole loop is part of
    the trace; under `vmap` as many clouds run at once as fit a block.

    Args:
        function: `(operands, rows [b], **static)` -> tree of arrays `[b, ...]`, made
            of compiled parts.
        operands: tree of arrays, replicated on all devices.
        n: number of rows.
        columns: what a row is compared with; sets the default block.
        block: rows at a time on a device, or None for a fixed amount of memory.
        mesh: devices to split the rows over, or None for the default device.
        progress: called as `progress(done, n)` after every few blocks.
        **static: hashable arguments of `function`.

    Raises:
        ValueError: for a block that is not a positive integer.
    """
    # One axis over all devices, whose sharding the compiler follows.
    mesh = None if mesh is None else Mesh(mesh.devices.ravel(), "rows")
    shares = 1 if mesh is None else mesh.size
    rows = _split(n, shares, _default_block(n, columns) if block is None else _checked(block))
    entries = rows.shape[1] // shares * columns
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(operands)):
        clouds = max(1, _entries() // entries)
        results = _traced(partial(function, **static), operands, rows, clouds)
    else:
        step = _compiled(function, mesh, tuple(sorted(static.items())))
        blocks = max(1, _STEP_BLOCKS * _entries() // entries)
        steps = [rows[start : start + blocks] for start in range(0, len(rows), blocks)]
        results = _watched(step, operands, steps, n, mesh=mesh, progress=progress)
    return jax.tree.map(lambda result: result[:n], results)


def redo_rows(
    doubtful: Bool[Array, " b"], redo: Callable[[Int[Array, ""]], Result], results: Result
) -> Result:
    """Replace the doubtful rows of `results` (a tree of `[b, ...]`) by `redo(row)`."""

    def body(carry: tuple[Bool[Array, " b"], Result]) -> tuple[Bool[Array, " b"], Result]:
        doubtful, results = carry
        row = jnp.argmax(doubtful)
        results = jax.tree.map(lambda old, new: old.at[row].set(new), results, redo(row))
        return doubtful.at[row].set(False), results

    return lax.while_loop(lambda carry: jnp.any(carry[0]), body, (doubtful, results))[1]


def _traced(function: Callable[..., Any], operands: Any, rows: np.ndarray, clouds: int) -> Any:
    whole = custom_vmap(partial(_loop, function, rows=jnp.asarray(rows)))

    @whole.def_vmap
    def _(size: int, batched: Any, operands: Any) -> Any:
        def stack(is_batched: bool, leaf: Array) -> Array:
            return leaf if is_batched else jnp.broadcast_to(leaf, (size, *jnp.shape(leaf)))

        each = partial(_loop, function, rows=jnp.asarray(rows))
        results = lax.map(each, jax.tree.map(stack, batched[0], operands), batch_size=clouds)
        return results, jax.tree.map(lambda _: True, results)

    return whole(operands)


def _watched(
    step: Callable[..., Any],
    operands: Any,
    steps: list[np.ndarray],
    n: int,
    *,
    mesh: Mesh | None,
    progress: Progress | None,
) -> Any:
    if mesh is not None:
        operands = jax.device_put(operands, NamedSharding(mesh, PartitionSpec()))
    results: list[Any] = []
    for rows in steps:
        # One step runs while the next is sent; more would only fill the memory.
        jax.block_until_ready(results[-2:-1])
        results.append(step(operands, rows=rows))
        if progress is not None:
            progress(int(rows[0, 0]), n)
    if mesh is not None:
        # On the default device, like the results of every other call.
        results = [jax.tree.map(lambda r: jnp.asarray(np.asarray(r)), result) for result in results]
    if progress is not None:
        jax.block_until_ready(results[-1])
        progress(n, n)
    return jax.tree.map(lambda *steps: jnp.concatenate(steps), *results)


@lru_cache(maxsize=256)
def _compiled(
    function: Callable[..., Any], mesh: Mesh | None, static: tuple[tuple[str, Any], ...]
) -> Callable[..., Any]:
    """The loop over some blocks, compiled once, with their rows split over a mesh."""
    loop = partial(_loop, partial(function, **dict(static)))
    options = _COMPILER_OPTIONS.get(jax.default_backend())
    if mesh is None:
        return jax.jit(loop, compiler_options=options)

    def on_a_device(operands: Any, rows: Int[Array, "blocks b"]) -> Any:
        return lax.map(lambda block: function(operands, block, **dict(static)), rows)

    everywhere, split = PartitionSpec(), PartitionSpec(None, "rows")
    shared = jax.shard_map(
        on_a_device, mesh=mesh, in_specs=(everywhere, split), out_specs=split, check_vma=False
    )
    # Every process reads the whole result.
    return jax.jit(
        lambda operands, rows: jax.tree.map(_join, shared(operands, rows)),
        out_shardings=NamedSharding(mesh, everywhere),
        compiler_options=options,
    )


def _loop(function: Callable[..., Any], operands: Any, *, rows: Int[Array, "blocks b"]) -> Any:
    return jax.tree.map(_join, lax.map(lambda block: function(operands, block), rows))


def _split(n: int, shares: int, largest: int) -> Int[np.ndarray, "blocks b"]:
    """Blocks of one size, several side by side if shared; the last row fills up the last.

    The size does not depend on the shares: a compiler may sum in another order for
    another shape, and numbers should be the same on any number of devices.
    """
    count = -(-n // largest)
    size = -(-n // count)
    count = -(-count // shares)
    rows = np.arange(count * shares * size, dtype=np.int32)
    return np.minimum(rows, n - 1).reshape(count, shares * size)


def _default_block(n: int, columns: int) -> int:
    most = _MOST_ROWS.get(jax.default_backend(), 2**16)
    rows = _entries() // columns
    rows = max(1, min(most, max(rows, min(_FEWEST_ROWS, 8 * rows))))
    # Enough blocks for some devices to share.
    return min(rows, max(_FEWEST_ROWS, -(-n // _FEWEST_BLOCKS)))


def _entries() -> int:
    return _BLOCK_ENTRIES.get(jax.default_backend(), _ACCELERATOR_ENTRIES)


def _checked(block: int) -> int:
    if not isinstance(block, int) or block < 1:
        raise ValueError(f"expected block >= 1 rows, got {block}")
    return block


def _join(blocks: Array) -> Array:
    return blocks.reshape(-1, *blocks.shape[2:])
