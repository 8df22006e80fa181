"""Arrays in `.npy` and `.npz` files, whoever wrote them: headers first, nothing unpickled.

What they hold is known, and refused where it cannot be, before any of it is read.
"""

import io
import math
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from jaxvae.files.reading import content

_NPY = b"\x93NUMPY"
_SUFFIX = ".npy"
# Headers of numbers take a hundred bytes.
_HEADER_BYTES = 1 << 14
# By version, in how many bytes a header says how long it is.
_LENGTH_BYTES: dict[tuple[int, ...], int] = {(1, 0): 2, (2, 0): 4}
_OBJECTS = "expected numbers or texts, got pickled Python objects"


class Announced(NamedTuple):
    """An array that was not read yet.

    Attributes:
        shape: `[n, ...]`.
        dtype: type of its numbers.
        held: bytes of memory that it takes when it is read.
        read: gives the array.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    held: int
    read: Callable[[], np.ndarray]


class ObjectsError(ValueError):
    """An array of Python objects, which nothing here unpickles."""


@contextmanager
def parsed(name: str | Path) -> Iterator[None]:
    """Within the block, whatever goes wrong is a `ValueError` of one line that names a file.

    Libraries raise anything over bytes that they did not write.
    """
    try:
        yield
    except (MemoryError, RecursionError) as error:
        raise ValueError(
            f"{name}: expected an array, got damage ({type(error).__name__})"
        ) from error
    except Exception as error:
        raise ValueError(f"{name}: {_reason(error)}") from error


def refuse_irregular(path: Path) -> None:
    """Refuse devices and pipes, which have no end, and files in which nothing is.

    Raises:
        ValueError: for what is there and no regular file, and for an empty one.
    """
    if not path.is_file():
        raise ValueError("expected a regular file, got something else")
    if path.stat().st_size == 0:
        raise ValueError("expected an array, got an empty file")


def is_npy(path: Path) -> bool:
    """Whether a file begins as a `.npy` does."""
    with path.open("rb") as file:
        return file.read(len(_NPY)) == _NPY


def announced_file(path: Path) -> Announced:
    """The array of a `.npy` file; reading it maps it.

    Raises:
        ValueError: for a file that is none, or torn.
    """
    refuse_irregular(path)
    with path.open("rb") as file:
        shape, dtype, offset = _header(file.read(_HEADER_BYTES))
    _refuse_torn(shape, dtype, offset, path.stat().st_size)
    return Announced(shape, dtype, 0, lambda: np.load(path, mmap_mode="r"))


def announced_members(
    path: Path, chosen: Callable[[list[str]], Collection[str]]
) -> dict[str, Announced]:
    """The arrays of a `.npz` archive.

    Args:
        path: path of the archive.
        chosen: which of its keys are wanted.

    Raises:
        ValueError: for members that are no arrays, or torn.
        ObjectsError: for members that hold Python objects; says how to choose the others.
    """
    arrays, objects = sorted_members(path, chosen)
    if objects:
        choice = f"; choose the others with {path}:{','.join(arrays)}" if arrays else ""
        raise ObjectsError(f"{_OBJECTS} in {', '.join(objects)}{choice}")
    return arrays


def sorted_members(
    path: Path, chosen: Callable[[list[str]], Collection[str]]
) -> tuple[dict[str, Announced], list[str]]:
    """The arrays of `announced_members`, and the keys of those that hold Python objects."""
    refuse_irregular(path)
    arrays, objects = {}, []
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(_SUFFIX): info for info in archive.infolist()}
        for key in chosen(list(members)):
            try:
                arrays[key] = _announced_member(path, archive, members[key])
            except ObjectsError:
                objects.append(key)
    return arrays, objects


def verify_archive(path: Path) -> None:
    """Compare every byte of an archive with its checksum.

    Raises:
        ValueError: for a file that is none, or not what was written.
        OSError: where it cannot be read.
    """
    with _archive(path):
        pass


def read_archive(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an archive, after every byte was compared with its checksum.

    Raises:
        ValueError: for a file that is none, or not what was written.
        OSError: where it cannot be read.
    """
    with _archive(path) as file, np.load(file) as archive:
        return dict(archive)


def read_members(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The arrays of an archive that have given names and are there, read-only.

    They are compared with their checksums. Of thousands of archives of the same arrays, NumPy
    spends most of the time on their headers: here every header is parsed once.

    Raises:
        ValueError: for a file that is none, or not what was written.
        OSError: where it cannot be read.
    """
    file = io.BytesIO(content(path))
    with parsed(path), zipfile.ZipFile(file) as archive:
        members = set(archive.namelist())
        files = {name: f"{name}.npy" for name in names}
        return {name: _array(archive.read(f)) for name, f in files.items() if f in members}


@contextmanager
def _archive(path: Path) -> Iterator[io.BytesIO]:
    """A whole archive, read before it is parsed: `zipfile` takes errors of the disk for damage."""
    file = io.BytesIO(content(path))
    with parsed(path):
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"{damaged} does not match its checksum")
        file.seek(0)
        yield file


def _array(file: bytes) -> np.ndarray:
    """The array of a `.npy` file."""
    size = _LENGTH_BYTES.get(tuple(file[len(_NPY) : len(_NPY) + 2]), 0)
    at = len(_NPY) + 2
    end = at + size + int.from_bytes(file[at : at + size], "little")
    shape, dtype, offset, order = _layout(file[:end])
    _refuse_torn(shape, dtype, offset, len(file))
    return np.frombuffer(file, dtype, offset=offset).reshape(shape, order=order)


@cache
def _layout(header: bytes) -> tuple[tuple[int, ...], np.dtype, int, Literal["C", "F"]]:
    """Shape, type, where the numbers begin, and in which order they are."""
    shape, dtype, offset = _header(header)
    return shape, dtype, offset, "F" if b"'fortran_order': True" in header else "C"


def _announced_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Announced:
    with archive.open(info) as member:
        start = member.read(_HEADER_BYTES)
    if not start.startswith(_NPY):
        raise ValueError(f"expected arrays, got a file {info.filename}")
    shape, dtype, offset = _header(start)
    _refuse_torn(shape, dtype, offset, info.file_size)

    def read() -> np.ndarray:
        with path.open("rb") as file, np.load(file) as opened:
            return opened[info.filename]

    return Announced(shape, dtype, info.file_size, read)


def _header(start: bytes) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, type, and where the numbers begin."""
    if not _has_header(start):
        raise ValueError("expected a whole array, got damage: its header is torn")
    file = io.BytesIO(start)
    version = np.lib.format.read_magic(file)
    parse = np.lib.format.read_array_header_1_0
    if version == (2, 0):
        parse = np.lib.format.read_array_header_2_0
    shape, _, dtype = parse(file)
    if dtype.hasobject:
        raise ObjectsError(f"{_OBJECTS}; save x.astype(float), or x.astype(str) for labels")
    if any(size < 0 for size in shape):
        raise ValueError(f"expected sizes of at least 0, got a shape {shape}")
    return shape, dtype, file.tell()


def _has_header(start: bytes) -> bool:
    """Whether the header of an array is there to its end.

    Raises:
        ValueError: for a version that holds no plain numbers, or that there is not.
    """
    version, at = tuple(start[len(_NPY) : len(_NPY) + 2]), len(_NPY) + 2
    if version == (3, 0):
        raise ValueError("expected real numbers, got an array with named fields (version 3.0)")
    if len(version) == 2 and version not in _LENGTH_BYTES:
        raise ValueError(
            "expected a .npy file of version 1 to 3, got version "
            f"{version[0]}.{version[1]}, or damage"
        )
    size = _LENGTH_BYTES.get(version, 0)
    length = int.from_bytes(start[at : at + size], "little")
    return size > 0 and len(start) >= min(at + size + length, _HEADER_BYTES)


def _refuse_torn(shape: tuple[int, ...], dtype: np.dtype, offset: int, size: int) -> None:
    expected = offset + math.prod(shape) * dtype.itemsize
    if size != expected:
        raise ValueError(
            f"expected a whole array, got damage: {size:,} bytes, not the {expected:,} of {shape}"
        )


def _reason(error: Exception) -> str:
    if "'<f1'" in str(error):
        return (
            "expected real numbers, got a type that NumPy's files do not keep, probably float8; "
            "save it as float32"
        )
    text = str(error).replace("\n", " ")[:300]
    plain = text and isinstance(error, ValueError | ModuleNotFoundError)
    return text if plain else f"expected an array, got damage ({type(error).__name__} {text})"
