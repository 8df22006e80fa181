"""Files and folders that appear whole or not at all."""

import fcntl
import hashlib
import os
import re
import shutil
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from jaxvae.files.errors import explained_error

# What is not whole yet, or no longer wanted. Its first digits are of the machine that writes it.
_PART = re.compile(r"\.[0-9a-f]{32}\.part")
_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
# In it, what a new folder takes the place of.
_ASIDE = "aside"
# Where a lock does not tell whether its writer lives, it has ended if nothing changed for so long.
_LEFT_SECONDS = 24 * 3600.0


def whole_folder(folder: Path) -> AbstractContextManager[Path]:
    """An empty folder to write, which takes its place when the block ends well.

    What is in its place stays there until then, and is removed. Otherwise nothing is left
    of the new one, nor of the folders above it that were made for it. It is written beside
    its place, synced and renamed.

    Args:
        folder: absolute.

    Returns:
        A context that yields where to write.

    Raises:
        OSError: if the disk cannot be written.
    """
    return _folder(folder, _exchange)


def first_folder(folder: Path) -> AbstractContextManager[Path]:
    """A folder as by `whole_folder`, except that one that is there when the block ends is kept.

    For what is the same whoever makes it.
    """
    return _folder(folder, _put_first)


@contextmanager
def unmade_on_failure(folders: Iterable[Path]) -> Iterator[None]:
    """If the block fails, those of some folders that it has made are removed, if they are empty.

    Args:
        folders: from the innermost to the outermost.
    """
    absent = [folder for folder in folders if not folder.exists()]
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for folder in absent:
                folder.rmdir()
        raise


@contextmanager
def hidden_folder(parent: Path) -> Iterator[Path]:
    """A folder that is removed at the end of the block, or, after a kill, as a leftover.

    Raises:
        OSError: if it cannot be made.
    """
    _remove_left(parent.glob(".*.part"))
    descriptor = None
    while descriptor is None:
        folder = parent / f".{_HOST}{uuid.uuid4().hex[len(_HOST) :]}.part"
        folder.mkdir()
        descriptor = _held(folder)
    try:
        yield folder
    finally:
        # What cannot go back is left, and goes back when leftovers are removed.
        with suppress(OSError):
            _remove_hidden(folder)
        os.close(descriptor)


def write_whole(
    path: Path, write: Callable[[Path], object], *, scratch: Path | None = None
) -> None:
    """Write a file beside its place and rename it, so that it is whole or absent.

    Args:
        path: where the file goes; folders above it are made.
        write: is given a path with the same name to write to.
        scratch: a folder on the same disk in which the file is written, and what a kill leaves of
            it; None for the one that it goes to.

    Raises:
        OSError: if the disk cannot be written; names the file.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with hidden_folder(scratch or path.parent) as beside:
            with plainly_named(beside) as plain:
                write(plain / path.name)
            _sync(beside)
            os.replace(beside / path.name, path)


def write_text_whole(path: Path, text: str) -> None:
    """Write a text file, in UTF-8, as `write_whole` does."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


@contextmanager
def plainly_named(folder: Path) -> Iterator[Path]:
    """Another name for a folder, of letters that every library takes for what they are.

    Some take a bracket for a pattern, or encode a path as the locale says.
    """
    with tempfile.TemporaryDirectory() as beside:
        plain = Path(beside, "plain")
        plain.symlink_to(folder.absolute(), target_is_directory=True)
        yield plain


def remove_whole(path: Path) -> None:
    """Remove a folder that nobody sees half removed."""
    with hidden_folder(path.parent) as beside:
        path.rename(beside / "removed")


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes were writing below a folder.

    That of another machine, or on a disk without locks, once nothing of it changed for a day:
    there are disks whose locks other machines do not see.
    """
    _remove_left(folder.rglob(".*.part"))


def age(path: Path) -> float:
    """Seconds since a file, or anything in a folder, was changed, by the clock of its disk.

    Raises:
        OSError: where the folder above it cannot be written, or the path is not there.
    """
    now = disk_time(path.parent)
    return now - max(each.lstat().st_mtime for each in (path, *path.rglob("*")))


def disk_time(folder: Path) -> float:
    """The time by the clock of the disk, which changes of files in a folder are told by.

    Raises:
        OSError: where the folder cannot be written.
    """
    with tempfile.NamedTemporaryFile(dir=folder) as now:
        return os.stat(now.name).st_mtime


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Within the block, an `OSError` says which file could not be written."""
    try:
        yield
    except OSError as error:
        message = (
            f"expected to write {path}, got: {error.strerror or error}. Nothing of it was kept; "
            "what was saved before is whole"
        )
        raise explained_error(error, message) from error


def _remove_left(folders: Iterable[Path]) -> None:
    for folder in list(folders):
        if _PART.fullmatch(folder.name):
            with suppress(OSError):
                _remove_unheld(folder)


def _held(folder: Path) -> int | None:
    """A lock on a new folder until it is closed, also by a kill; None if the folder is gone.

    Another process may take it for a leftover before it is held, and holds it itself while
    it removes it.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    # Not every file system has locks.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    if folder.exists():
        return descriptor
    os.close(descriptor)
    return None


def _remove_unheld(folder: Path) -> None:
    """Remove a folder unless somebody holds it, or may.

    Raises:
        OSError: if it is held, or no folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _is_free(descriptor, folder) or age(folder) > _LEFT_SECONDS:
            _remove_hidden(folder)
    finally:
        os.close(descriptor)


def _remove_hidden(folder: Path) -> None:
    """Remove a hidden folder, of which what has lost its place, and no other took it, goes back.

    Raises:
        OSError: if it cannot go back: nothing is removed then.
    """
    for replaced in list((folder / _ASIDE).glob("*")):
        if not (folder.parent / replaced.name).exists():
            replaced.rename(folder.parent / replaced.name)
    shutil.rmtree(folder, ignore_errors=True)


def _is_free(descriptor: int, folder: Path) -> bool:
    """Whether the lock of a folder tells that its writer has ended.

    Raises:
        BlockingIOError: where it tells that the writer lives.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        # Not every file system has locks.
        return False
    return folder.name.startswith(f".{_HOST}")


@contextmanager
def _folder(folder: Path, put: Callable[[Path, Path, Path], None]) -> Iterator[Path]:
    with unmade_on_failure(folder.parents):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with hidden_folder(folder.parent) as beside:
            part = beside / "part"
            part.mkdir()
            yield part
            _sync(part)
            put(part, folder, beside / _ASIDE / folder.name)


def _put_first(part: Path, folder: Path, _: Path) -> None:
    try:
        part.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def _exchange(part: Path, path: Path, replaced: Path) -> None:
    replaced.parent.mkdir()
    if path.exists():
        path.rename(replaced)
    part.rename(path)
    # From here on it is not put back, also where a kill leaves half of it.
    replaced.parent.rename(replaced.parent.with_name("removed"))


def _sync(folder: Path) -> None:
    """Force everything to the disk, so that a crash cannot leave names without content."""
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
