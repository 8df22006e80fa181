"""Snapshots of any tree of arrays, written whole or not at all, and verified when read.

A snapshot is a folder `step-*` with the files of Orbax and a list of their checksums; without
that list it is none.
"""

import errno
import logging
import math
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from orbax.checkpoint import v1 as ocp

from jaxvae.files.reading import names_in
from jaxvae.files.sealed import MANIFEST, DamageError, is_sealed, seal, unsealed
from jaxvae.files.whole import explained, plainly_named, remove_whole, whole_folder
from jaxvae.training.mesh import gathered
from jaxvae.training.processes import (
    LostProcessError,
    from_first,
    is_first,
    name_from_first,
    wait_for_all,
)
from jaxvae.training.signals import postponed

Tree = TypeVar("Tree")

# The folders of what is kept of a run, or of the runs of a unit: to analyze, and to go on from.
SNAPSHOTS, RESUME = "snapshots", "resume"

_PREFIX = "step-"
_DIGITS = 10
_NAME = re.compile(rf"{_PREFIX}[0-9]{{{_DIGITS}}}")
_TREE = "tree"
# So many states to go on from are kept: where the latest is damaged, the one before is there.
_LATEST = 2
# A write of Orbax that others have to follow, which may be lost, is waited for no longer.
_WRITE_SECONDS = 10.0

_logger = logging.getLogger("jaxvae")


def save(directory: Path, step: int, tree: Tree) -> None:
    """Write `tree` under `directory` as the snapshot of `step`.

    The snapshot appears under its name only when it is complete and can be found again; one
    that is there already is replaced.

    Args:
        directory: made where absent.
        step: a count that orders the snapshots.
        tree: arrays, typed PRNG keys and NamedTuples of them. Those on devices of several
            processes are written by all of them, which see one disk.

    Raises:
        OSError: if it cannot be written; nothing of it is left.
    """
    path, together = _place(directory, step).absolute(), _is_of_several(tree)
    folder = _folder_of_all if together else whole_folder
    # Broken off, Orbax leaves coroutines behind that complain on the terminal.
    with postponed(), explained(path), folder(path) as part:
        with _orbax_name(part, together) as plain:
            _write(plain, tree)
        if is_first() or not together:
            seal(part)


def save_latest(directory: Path, step: int, tree: Tree) -> None:
    """Write a snapshot to go on from; of those before it one is kept, of those after it none.

    Raises:
        OSError: as `save`.
    """
    save(directory, step, tree)
    if _is_of_several(tree) and not is_first():
        return
    latest = [each for each in steps(directory) if each <= step][-_LATEST:]
    for path in directory.glob(f"{_PREFIX}*"):
        if path not in [_place(directory, each) for each in latest]:
            remove_whole(path)


def load(directory: Path, step: int, like: Tree) -> Tree:
    """The snapshot of `step`, in the structure, shapes and dtypes of `like`.

    Args:
        directory: where `save` put it.
        step: one of `steps(directory)`.
        like: a tree of arrays or of `jax.ShapeDtypeStruct`, which may say with a sharding on
            which devices, of this process or of several, they are to be.

    Raises:
        DamageError: names the file that is not what was written.
        ValueError: if there is no such snapshot, or it is one of another tree.
    """
    if step not in steps(directory):
        raise ValueError(f"expected a snapshot among {steps(directory)} in {directory}, got {step}")
    unsealed(_place(directory, step))
    return _read(_place(directory, step), like)


def _read(path: Path, like: Tree) -> Tree:
    """The contents of a folder whose files are known to be whole."""
    with _orbax_name(path.absolute(), _is_of_several(like)) as plain, _quiet():
        written, wanted = _shapes(ocp.metadata(plain / _TREE).metadata), _shapes(like)
        # Orbax would find out as well, in the midst of reading.
        for name in sorted({*written, *wanted}):
            if written.get(name) != wanted.get(name):
                raise ValueError(
                    f"expected a snapshot of the same tree in {path}, with {name} of shape "
                    f"{wanted.get(name)}, got {written.get(name)}: it was made by other settings "
                    "or another version"
                )
        loaded = ocp.load(plain / _TREE, jax.tree.map(_on_device, like))
    return jax.tree.map(_where_wanted, loaded, like)


def load_latest(directory: Path, like: Tree, *, last: float = math.inf) -> Tree | None:
    """The latest snapshot that is not damaged; None without any.

    Args:
        directory: where `save_latest` put them.
        like: as for `load`.
        last: the latest step that is of use.

    Raises:
        ValueError: for a snapshot of another tree.
    """
    for path in sorted(directory.glob(f"{_PREFIX}*")):
        if not is_sealed(path):
            _logger.warning("%s has no %s: it is not read", path, MANIFEST)
    step = _latest_whole(directory, last)
    if _is_of_several(like):
        step = from_first(step)
    return None if step < 0 else _read(_place(directory, step), like)


def _latest_whole(directory: Path, last: float) -> int:
    """The latest step up to the last whose files are whole; -1 for none."""
    for step in reversed(steps(directory)):
        if step <= last:
            try:
                unsealed(_place(directory, step))
                return step
            except DamageError as error:
                _logger.warning("%s: going on from what was kept before it", error)
    return -1


def remove(directory: Path, step: int) -> None:
    """Remove a snapshot, which nobody sees half removed."""
    remove_whole(_place(directory, step))


def steps(directory: Path) -> list[int]:
    """The complete snapshots under `directory`, ascending."""
    return [step for step in _written(directory) if is_sealed(_place(directory, step))]


def damaged_steps(directory: Path) -> dict[int, DamageError]:
    """The snapshots that are not what was written, and what is said of each; all are read.

    One whose list of checksums is lost is among them: without it there is no other trace of it.
    """
    damaged = {}
    for step in _written(directory):
        try:
            unsealed(_place(directory, step))
        except DamageError as error:
            damaged[step] = error
    return damaged


def _written(directory: Path) -> list[int]:
    """The snapshots of which there is a folder, ascending."""
    names = filter(_NAME.fullmatch, names_in(directory))
    return sorted(int(name.removeprefix(_PREFIX)) for name in names)


def _place(directory: Path, step: int) -> Path:
    return directory / f"{_PREFIX}{step:0{_DIGITS}d}"


def _is_of_several(tree: Any) -> bool:
    """Whether arrays are on devices of several processes, which write and read them together."""
    shardings = [getattr(leaf, "sharding", None) for leaf in jax.tree.leaves(tree)]
    return any(each is not None and not each.is_fully_addressable for each in shardings)


@contextmanager
def _folder_of_all(path: Path) -> Iterator[Path]:
    """`whole_folder` of the first process, in which the others write as well."""
    if is_first():
        with whole_folder(path) as part:
            name_from_first(part.parent.name)
            yield part
            # The others look there for what they wrote: not before that it gets its name.
            wait_for_all("a snapshot is written")
    else:
        yield path.parent / name_from_first("") / "part"
        wait_for_all("a snapshot is written")
    wait_for_all("a snapshot is whole")


def _orbax_name(folder: Path, together: bool) -> AbstractContextManager[Path]:
    """The name of a folder for Orbax: the same in every process that writes or reads there."""
    return nullcontext(folder) if together else plainly_named(folder)


@contextmanager
def _quiet() -> Iterator[None]:
    """Within the block, Orbax does not log: its errors are raised as well, and said by us."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _other_writes_ended() -> Iterator[None]:
    """If the block fails, the threads in which Orbax writes the other arrays end with it.

    Otherwise they find the folder removed, and say so on the terminal.
    """
    try:
        yield
    except BaseException:
        for thread in threading.enumerate():
            if type(thread).__module__.startswith("orbax."):
                thread.join(_WRITE_SECONDS)
        raise


def _write(folder: Path, tree: Any) -> None:
    """Have Orbax write, and look whether it finds what it wrote."""
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
    if size > shutil.disk_usage(folder).free:
        # Orbax says much on the terminal when it finds the disk full.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    try:
        with _quiet(), _other_writes_ended():
            ocp.save(folder / _TREE, tree)
            metadata = ocp.metadata(folder / _TREE).metadata
    except Exception as error:
        # It words errors of the system in its own way.
        known = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS)
        number = next((each for each in known if os.strerror(each) in str(error)), None)
        if number is None:
            message = str(error).partition("\n")[0]
            raise (LostProcessError if _is_of_several(tree) else OSError)(message) from error
        raise OSError(number, os.strerror(number)) from error
    if metadata is None:
        raise OSError("Orbax does not find what it wrote")


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """The shape of every array by its path, keys as the numbers they are written as."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): _written_shape(leaf)
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    }


def _written_shape(leaf: Any) -> tuple[int, ...]:
    if isinstance(leaf, jax.Array | jax.ShapeDtypeStruct) and jnp.issubdtype(
        leaf.dtype, jax.dtypes.prng_key
    ):
        return jax.eval_shape(jax.random.key_data, leaf).shape
    return tuple(leaf.shape)


def _on_device(leaf: Any) -> jax.ShapeDtypeStruct:
    """The specification of what to read, on a device of this machine instead of the writer's."""
    sharding = getattr(leaf, "sharding", None)
    sharding = sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _where_wanted(leaf: Any, like: Any) -> Any:
    """A loaded array where it is to be: without any wish, where new ones are."""
    sharded = getattr(like, "sharding", None) is not None
    return leaf if (like.committed if isinstance(like, jax.Array) else sharded) else gathered(leaf)
