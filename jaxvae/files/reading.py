"""Files that cannot be read: their content is unknown, and they are left as they are."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxvae.files.errors import explained_error


@contextmanager
def left_alone(path: Path) -> Iterator[None]:
    """Within the block, an `OSError` says which file could not be read, and what to do."""
    try:
        yield
    except OSError as error:
        message = (
            f"expected to read {path}, got: {error.strerror or error}. It was left as it is: see "
            "to the disk, and to who may read it"
        )
        raise explained_error(error, message) from error


def content(path: Path) -> bytes:
    """All bytes of a regular file.

    Raises:
        ValueError: for what is there and no regular file; devices and pipes have no end.
        FileNotFoundError: where nothing is.
        OSError: where it cannot be read.
    """
    with left_alone(path):
        if stat.S_ISREG(path.stat().st_mode):
            return path.read_bytes()
    raise ValueError(f"{path}: expected a regular file, got something else")


def is_regular(path: Path) -> bool:
    """Whether a regular file is there.

    Raises:
        OSError: where that cannot be found out, which `Path.is_file` takes for no.
    """
    with left_alone(path), suppress(FileNotFoundError, NotADirectoryError):
        return stat.S_ISREG(path.stat().st_mode)
    return False


def names_in(folder: Path) -> list[str]:
    """The names in a folder; none if there is no such folder.

    Raises:
        OSError: where it cannot be read, which `Path.glob` takes for empty.
    """
    with left_alone(folder), suppress(FileNotFoundError, NotADirectoryError):
        return os.listdir(folder)
    return []
