"""Arrays kept on disk between runs: written whole or not at all, verified when read.

An entry is a directory of `.npy` files, sealed by a list of their checksums. It is written
beside its place under a temporary name, synced, and renamed, so that a crash, a full disk
or a second process never leaves half an entry under the true name. An entry that fails its
checks is removed and built again.
"""

import errno
import logging
import math
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvae.files.sealed import seal, unsealed

_ATTEMPTS = 3
_LEFTOVER_SECONDS = 3600.0

_logger = logging.getLogger("jaxvae")


class Entry(NamedTuple):
    """A verified cache entry.

    Attributes:
        arrays: the arrays by name, memory-mapped and read-only.
        metadata: what the builder said about them, as JSON gives it back.
    """

    arrays: dict[str, np.ndarray]
    metadata: dict[str, Any]


def cache_directory() -> Path:
    """Where the cache lives.

    `JAXVAE_CACHE_DIR` where it is set, else `$XDG_CACHE_HOME/jaxvae`, else `~/.cache/jaxvae`.
    """
    own = os.environ.get("JAXVAE_CACHE_DIR")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(shared).expanduser() / "jaxvae"


def fetch(key: str, build: Callable[[Path], dict[str, Any]]) -> Entry:
    """The entry `key` of the cache, built first where it is absent or damaged.

    Every file is read once to verify it, at about a gigabyte per second. Two processes
    that miss the same entry both build it; the first to finish is kept.

    Args:
        key: a file name: the same key always means the same arrays.
        build: writes its arrays as `.npy` files into the directory it is given, by
            `create_array`, and returns JSON-serializable metadata.

    Returns:
        The arrays, memory-mapped, and the metadata.

    Raises:
        OSError: if the cache cannot be written.
    """
    directory = cache_directory() / "datasets" / key
    _remove_leftovers(directory.parent)
    entry = _read(directory)
    for _ in range(_ATTEMPTS):
        if entry is not None:
            return entry
        _create(directory, build)
        entry = _read(directory)
    if entry is None:
        raise OSError(f"expected a cache entry that stays intact, got damage again in {directory}")
    return entry


def create_array(
    path: Path, shape: tuple[int, ...], dtype: np.dtype
) -> Callable[[np.ndarray], None]:
    """Start a `.npy` file of known shape, and return the function that appends rows to it.

    Rows are written and not memory-mapped: a disk that fills up under a mapping kills
    the process, a write raises.

    Raises:
        OSError: if the file cannot be written, here or when appending.
    """
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    with _explained(), path.open("wb") as file:
        if math.prod(shape) * dtype.itemsize > shutil.disk_usage(path.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        np.lib.format.write_array_header_1_0(file, header)

    def append(rows: np.ndarray) -> None:
        with _explained(), path.open("ab") as file:
            file.write(np.ascontiguousarray(rows, dtype=dtype).data)

    return append


def _read(directory: Path) -> Entry | None:
    """The verified entry, or None where there is none; a damaged one is removed."""
    if not directory.exists():
        return None
    try:
        return _verified(directory)
    except (OSError, ValueError) as error:
        _logger.warning("%s is damaged (%s): it is built again", directory, error)
    with _explained():
        _discard(directory)
    return None


def _verified(directory: Path) -> Entry:
    metadata = unsealed(directory)
    arrays = {path.stem: np.load(path, mmap_mode="r") for path in directory.glob("*.npy")}
    return Entry(arrays, metadata)


def _create(directory: Path, build: Callable[[Path], dict[str, Any]]) -> None:
    """Build an entry under a temporary name and rename it, unless another was faster."""
    temporary = _temporary(directory)
    with _explained():
        temporary.mkdir(parents=True)
    try:
        metadata = build(temporary)
        with _explained():
            _seal(temporary, metadata)
            _publish(temporary, directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _seal(directory: Path, metadata: dict[str, Any]) -> None:
    """List the checksums and force everything to the disk."""
    for path in directory.glob("*.npy"):
        np.load(path, mmap_mode="r")  # refuses a file that lacks rows
    seal(directory, metadata)
    for path in (*directory.iterdir(), directory):
        _sync(path)


def _publish(temporary: Path, directory: Path) -> None:
    try:
        temporary.rename(directory)
    except OSError:
        if not directory.exists():
            raise
    _sync(directory.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary(directory: Path) -> Path:
    return directory.parent / f".{directory.name}-{uuid.uuid4().hex}.tmp"


def _discard(directory: Path) -> None:
    """Remove an entry at once for every reader: rename it, then delete it."""
    temporary = _temporary(directory)
    with suppress(FileNotFoundError):
        directory.rename(temporary)
    shutil.rmtree(temporary, ignore_errors=True)


def _remove_leftovers(root: Path) -> None:
    """Delete temporary directories that nobody has written to for an hour."""
    with suppress(OSError):
        for path in root.glob(".*.tmp"):
            written = max(part.stat().st_mtime for part in (path, *path.iterdir()))
            if time.time() - written > _LEFTOVER_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _explained() -> Iterator[None]:
    """Say what to do about a cache that cannot be written."""
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"expected to write the cache in {cache_directory()}, got {error}; "
            "set JAXVAE_CACHE_DIR to a writable directory with enough space",
        ) from error
