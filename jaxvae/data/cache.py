"""Arrays kept on disk between runs: written whole or not at all, verified when read.

An entry is a directory of `.npy` files, sealed by a list of their checksums. An entry that fails
its checks is removed and built again.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvae.files.appending import Append, start_array
from jaxvae.files.errors import explained_error
from jaxvae.files.reading import left_alone
from jaxvae.files.sealed import metadata_of, seal, unsealed
from jaxvae.files.whole import first_folder, remove_whole

_ATTEMPTS = 3

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
    """The folder of the cache.

    `JAXVAE_CACHE_DIR` where it is set, else `$XDG_CACHE_HOME/jaxvae`, else `~/.cache/jaxvae`.
    """
    own = os.environ.get("JAXVAE_CACHE_DIR")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(shared).expanduser() / "jaxvae"


class Kept(NamedTuple):
    """An entry as it lies on the disk, unverified.

    Attributes:
        folder: its place, whose name is its key.
        size: bytes of its files.
        metadata: what the builder said, empty where that cannot be read.
    """

    folder: Path
    size: int
    metadata: dict[str, Any]


def kept_entries() -> list[Kept]:
    """All entries of the cache, by their keys."""
    return [
        Kept(folder, sum(file.stat().st_size for file in folder.glob("*")), metadata_of(folder))
        for folder in sorted((cache_directory() / "datasets").glob("[!.]*"))
    ]


def find(key: str) -> Entry | None:
    """The entry `key` of the cache; None where it is absent or damaged.

    Raises:
        OSError: if what is there cannot be read.
    """
    return _read(_folder_of(key))


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
        OSError: if the cache cannot be written, or what is there cannot be read.
    """
    directory = _folder_of(key)
    entry = _read(directory)
    for _ in range(_ATTEMPTS):
        if entry is not None:
            return entry
        _create(directory, build)
        entry = _read(directory)
    if entry is None:
        raise OSError(f"expected a cache entry that stays intact, got damage again in {directory}")
    return entry


def create_array(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> Append:
    """An array of the cache as `start_array` gives it, with advice if it cannot be written.

    Raises:
        OSError: if the file cannot be written, here or when appending.
    """
    with _explained():
        start = start_array(path, shape, dtype)

    def append(rows: np.ndarray) -> None:
        with _explained():
            start(rows)

    return append


def _folder_of(key: str) -> Path:
    return cache_directory().absolute() / "datasets" / key


def _read(directory: Path) -> Entry | None:
    """The verified entry, or None where there is none; a damaged one is removed."""
    if not directory.exists():
        return None
    try:
        return _verified(directory)
    except FileNotFoundError:
        # Another process has just removed it.
        return None
    except ValueError as error:
        _logger.warning("%s is damaged (%s): it is built again", directory, error)
    # Another process may have removed it.
    with _explained(), suppress(FileNotFoundError):
        remove_whole(directory)
    return None


def _verified(directory: Path) -> Entry:
    metadata = unsealed(directory)
    with left_alone(directory):
        arrays = {path.stem: np.load(path, mmap_mode="r") for path in directory.glob("*.npy")}
    return Entry(arrays, metadata)


def _create(directory: Path, build: Callable[[Path], dict[str, Any]]) -> None:
    """Build an entry, unless another process is faster."""
    with ExitStack() as stack:
        with _explained():
            part = stack.enter_context(first_folder(directory))
        metadata = build(part)
        with _explained():
            for path in part.glob("*.npy"):
                np.load(path, mmap_mode="r")  # refuses a file that lacks rows
            seal(part, metadata)
            stack.close()


@contextmanager
def _explained() -> Iterator[None]:
    """Say what to do about a cache that cannot be written."""
    try:
        yield
    except OSError as error:
        message = (
            f"expected to write the cache in {cache_directory()}, got {error}; "
            "set JAXVAE_CACHE_DIR to a writable directory with enough space"
        )
        raise explained_error(error, message) from error
