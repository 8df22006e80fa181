"""The rows of a computation, split into blocks, over devices, and over time."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Int

from jaxvae.files.refusals import as_count
from jaxvae.geometry.host import keep_freed_memory, known_now
from jaxvae.geometry.points import Points
from jaxvae.platforms import ACCELERATOR, CPU, Choices, Options, choices_for

# A product of fewer rows spends its time on loading the other operand.
_FEWEST_ROWS = 192
# Distances that are held at once, in all spaces together.
_MOST_ENTRIES = 2**31
# Rows that an accelerator works on together.
_ALIGNED = 128
# Blocks of a small cloud: for some devices to share, or for one to work while the host looks at
# what came before.
_FEWEST_SHARED, _FEWEST_ALONE = 8, 4

T = TypeVar("T")
Progress = Callable[[int, int], None]
# `(points, *arrays by row) -> arrays by row`.
Program = Callable[..., Any]


class Space(NamedTuple):
    """A cloud of known values, where programs work on it.

    Attributes:
        points: on the host where they were given there.
        shared: on every device of the mesh.
        mesh: devices that share the rows, or None for the default device.
        choices: choices that suit them.
    """

    points: Points
    shared: Points
    mesh: Mesh | None
    choices: Choices

    @known_now
    def run(self, program: Program, *by_row: Any, **static: Any) -> Any:
        """The results of a program, each device working on its share of the rows."""
        return self._compiled(program, static)(self.shared, *by_row)

    @known_now
    def run_without_coordinates(self, program: Program, *by_row: Any, **static: Any) -> Any:
        """The same for a program of norms and presence alone, which all widths then share."""
        return self._compiled(program, static)(without_coordinates(self.shared), *by_row)

    def _compiled(self, program: Program, static: dict[str, Any]) -> Callable[..., Any]:
        options = self.choices.block_options
        return _compiled(program, self.mesh, options, tuple(sorted(static.items())))

    @property
    def length(self) -> int:
        """Rows of a block on one device."""
        return block_length(len(self.points.norms), self.choices, shared=self.mesh is not None)

    def blocks(
        self,
        n: int,
        *,
        block: int | None = None,
        spaces: int = 1,
        progress: Progress | None = None,
    ) -> Iterator[Int[np.ndarray, " b"]]:
        """`blocks` of n rows, whose distances to all points are held in so many spaces."""
        columns = len(self.points.norms)
        if block is None:
            block = max(1, min(self.length, _MOST_ENTRIES // (columns * spaces)))
        return blocks(
            n, columns=columns, choices=self.choices, block=block, mesh=self.mesh, progress=progress
        )

    def alone(self) -> "Space":
        """The cloud on the default device alone, for the few rows that are left."""
        return self if self.mesh is None else as_space(self.points, None)


@known_now
def as_space(points: Points, mesh: Mesh | None) -> Space:
    """The points, sent to where programs work on them."""
    keep_freed_memory()
    placement = None
    if mesh is not None:
        # One axis over all devices, whose sharding the compiler follows.
        mesh = Mesh(mesh.devices.ravel(), "rows")
        placement = NamedSharding(mesh, PartitionSpec())
    shared = jax.device_put(points, placement)
    return Space(points, shared, mesh, choices_for(shared.norms))


def without_coordinates(points: Points) -> Points:
    """The points without what depends on the number of features."""
    return points._replace(values=None, rest=None, centered=None)


@known_now
def on_host(tree: Any, space: Space) -> Any:
    """Arrays by row as NumPy's, complete in every process."""
    if not all(leaf.is_fully_addressable for leaf in jax.tree.leaves(tree)):
        tree = _replicate(space.mesh)(tree)
    return jax.device_get(tree)


def blocks(
    n: int,
    *,
    columns: int,
    choices: Choices,
    block: int | None = None,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> Iterator[Int[np.ndarray, " b"]]:
    """The rows 0 to n - 1 in blocks of one length, the last filled up with its last row.

    The length follows from the columns and the platform, not from n: what is compiled for one n
    serves others. Several devices share more and shorter blocks; numbers are the same.

    Args:
        n: number of rows.
        columns: what a row is compared with.
        choices: choices of the platform; with the columns they set the default block.
        block: rows at a time on a device, or None for a fixed amount of memory.
        mesh: devices, each of which takes a block at a time.
        progress: called as `progress(done, n)` before every block and at the end.

    Raises:
        ValueError: for a block that is not a positive integer.
    """
    if block is None:
        length = block_length(columns, choices, shared=mesh is not None)
    else:
        length = checked_block(block)
    length = min(length, columns) * (1 if mesh is None else mesh.size)
    for start in range(0, n, length):
        if progress is not None:
            progress(start, n)
        yield np.minimum(np.arange(start, start + length, dtype=np.int32), n - 1)
    if progress is not None:
        progress(n, n)


def block_length(columns: int, choices: Choices, *, shared: bool = True) -> int:
    """Rows of a block on one device.

    Args:
        columns: what a row is compared with.
        choices: choices of the platform.
        shared: whether several devices may share the blocks.
    """
    rows = choices.block_entries // columns
    rows = max(1, min(choices.block_rows, max(rows, min(_FEWEST_ROWS, 8 * rows))))
    if choices.settles_on_device and not shared:
        # Few, since each brings something to the host, and alike, so that none is nearly empty.
        count = -(-columns // rows)
        return min(rows, columns, -(-columns // (count * _ALIGNED)) * _ALIGNED)
    fewest = _FEWEST_SHARED if shared else _FEWEST_ALONE
    return min(rows, max(_FEWEST_ROWS, -(-columns // fewest)))


def finished_in_turn(begun: Iterable[Callable[[], T]]) -> Iterator[T]:
    """The results of functions that finish what was begun, each once the next is begun.

    So the device works on one while the host looks at the one before.
    """
    before = None
    for finish in begun:
        if before is not None:
            yield before()
        before = finish
    if before is not None:
        yield before()


def joined(results: list[Any], n: int) -> Any:
    """The results of all blocks, one after the other."""
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:n], *results)


def traced_rows(
    function: Callable[..., Any], operands: Any, n: int, *, columns: int, block: int | None = None
) -> Any:
    """`function(operands, rows [b])` over blocks of the rows 0 to n - 1, as part of a trace.

    Where blocks are as long on every platform, one loop is traced. Else there is one for CPU
    and one for accelerators, of which the compiler sees that of its platform.

    Args:
        function: function of a block.
        operands: arrays that it needs.
        n: number of rows.
        columns: what a row is compared with.
        block: rows at a time, or None for a fixed amount of memory.
    """
    if block is not None:
        return _traced_loop(function, n, checked_block(block))(operands)
    lengths = [block_length(columns, choices) for choices in (CPU, ACCELERATOR)]
    on_cpu, elsewhere = (_traced_loop(function, n, length) for length in lengths)
    if lengths[0] == lengths[1]:
        return on_cpu(operands)
    return lax.platform_dependent(operands, cpu=on_cpu, default=elsewhere)


def _traced_loop(function: Callable[..., Any], n: int, length: int) -> Callable[[Any], Any]:
    """The blocks one after the other, and under `vmap` one cloud after the other.

    So what few of them need is done for no other.
    """
    count = -(-n // length)
    rows = np.minimum(np.arange(count * length, dtype=np.int32), n - 1).reshape(count, length)

    @custom_vmap
    def whole(operands: Any) -> Any:
        results = lax.map(partial(function, operands), rows)
        return jax.tree.map(lambda r: r.reshape(-1, *r.shape[2:])[:n], results)

    @whole.def_vmap
    def _(size: int, batched: Any, operands: Any) -> Any:
        def stack(is_batched: bool, leaf: Array) -> Array:
            return leaf if is_batched else jnp.broadcast_to(leaf, (size, *jnp.shape(leaf)))

        results = lax.map(whole, jax.tree.map(stack, batched[0], operands))
        return results, jax.tree.map(lambda _: True, results)

    return whole


def with_redone(
    flagged: Bool[Array, " b"], results: Any, redo: Callable[[Int[Array, ""]], Any]
) -> Any:
    """Arrays by row as part of a trace, in which `redo(row)` replaces those of flagged rows.

    One row follows the other, so that memory is that of one; without flags nothing runs.
    """

    def redo_next(carry: tuple[Array, Any]) -> tuple[Array, Any]:
        left, results = carry
        at = jnp.argmax(left)
        results = jax.tree.map(lambda old, new: old.at[at].set(new), results, redo(at))
        return left.at[at].set(False), results

    return lax.while_loop(lambda carry: jnp.any(carry[0]), redo_next, (flagged, results))[1]


@lru_cache(maxsize=256)
def _compiled(
    program: Program,
    mesh: Mesh | None,
    options: Options,
    static: tuple[tuple[str, Any], ...],
) -> Callable[..., Any]:
    compiled = partial(jax.jit, compiler_options=dict(options))
    work = partial(program, **dict(static))
    if mesh is None:
        return compiled(work)

    def on_devices(points: Points, *by_row: Any) -> Any:
        split = PartitionSpec("rows")
        return jax.shard_map(
            work,
            mesh=mesh,
            in_specs=(PartitionSpec(), *(split,) * len(by_row)),
            out_specs=split,
            check_vma=False,
        )(points, *by_row)

    return compiled(on_devices)


@lru_cache(maxsize=16)
def _replicate(mesh: Mesh) -> Callable[..., Any]:
    return jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, PartitionSpec()))


def checked_block(block: int) -> int:
    """Rows at a time, as an `int`.

    Raises:
        ValueError: for a block that is not a positive integer.
    """
    return as_count(block, f"expected block >= 1 rows, got {block}", least=1)
