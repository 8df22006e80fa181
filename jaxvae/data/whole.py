"""Files and folders that appear whole or not at all."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_folder(place: Path) -> Iterator[Path]:
    """An empty folder to write, which takes its place when the block ends well.

    What is in its place stays there until then, and is removed. Otherwise nothing is left
    of the new one, nor of the folders above it that were made for it. It is written beside
    its place, synced and renamed.

    Args:
        place: absolute.

    Yields:
        Where to write.

    Raises:
        OSError: if the disk cannot be written.
    """
    made = [folder for folder in place.parents if not folder.exists()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent) as beside:
            # One below: that of tempfile is closed to other users.
            part = Path(beside, "part")
            part.mkdir()
            yield part
            _sync(part)
            _exchange(part, place, Path(beside, "replaced"))
    except BaseException:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise


def _exchange(part: Path, place: Path, replaced: Path) -> None:
    if place.exists():
        place.rename(replaced)
    try:
        part.rename(place)
    except BaseException:
        with suppress(OSError):
            replaced.rename(place)
        raise


def _sync(folder: Path) -> None:
    """Force everything to the disk, so that a crash cannot leave names without content."""
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and rename it, so that it is whole or absent.

    Args:
        path: where the file goes; folders above it are made.
        write: is given a path with the same ending to write to.

    Raises:
        OSError: if the disk cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    try:
        write(Path(part))
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
