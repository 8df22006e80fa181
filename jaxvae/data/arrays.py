"""`.npy`, `.npz` and zarr files and captured layers -> arrays by name, with nothing unpickled."""

import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvae.data.taps import is_capture, open_taps
from jaxvae.data.zarr_stores import announced_zarr, is_zarr, open_zarr
from jaxvae.files.numpy_files import (
    Announced,
    announced_file,
    announced_members,
    is_npy,
    parsed,
    refuse_irregular,
)
from jaxvae.memory import refuse_beyond_memory

_ARCHIVE = ".npz:"


class Source(NamedTuple):
    """An array and the file that it comes from.

    Attributes:
        origin: the file as it was given, with the key in an archive or a capture.
        array: memory-mapped where the file is a `.npy`.
    """

    origin: str
    array: np.ndarray


class _Origin(NamedTuple):
    """An array that was not read yet, with where it comes from, as in `Source`."""

    origin: str
    array: Announced


def read_arrays(files: Iterable[str]) -> dict[str, Source]:
    """The arrays of `.npy` files, `.npz` archives, zarr stores and captured layers.

    Args:
        files: `FILE.npy`, `FILE.npz` for all its arrays, or `FILE.npz:KEY,KEY`; a
            capture as `FOLDER` or `FOLDER:LAYER,LAYER`, also a `.zarr`; a zarr array or
            group of any other origin likewise, its members as `inner/name`. `~` is the
            home folder.

    Returns:
        Sources in the order given, named by the stem of a file, the key in an
        archive or the layer of a capture; where two names are the same, by the
        file as given, and where a file comes twice, with a number.

    Raises:
        ValueError: for files that are neither, or damaged, devices and pipes, folders that
            are no capture and no zarr store, keys that are not there, archives without arrays
            or of more than the memory, arrays of Python objects (named, with those beside
            them) or of another number of points, and a zarr group without zarr. Of an archive
            nothing is read before all of that is known.
        FileNotFoundError: for files that are not there.
    """
    announced = [named for file in files for named in _announced(file)]
    short = Counter(name for name, _ in announced)
    named: dict[str, Source] = {}
    for (name, _), source in zip(announced, _read(announced), strict=True):
        unique = name if short[name] == 1 else source.origin
        copies = sum(other == unique or other.startswith(f"{unique} (") for other in named)
        named[f"{unique} ({copies + 1})" if copies else unique] = source
    return named


def read_array(file: str) -> np.ndarray:
    """The one array of a file, or of a key in an archive.

    Raises:
        ValueError: where there are several, and as `read_arrays`.
        OSError: for a file that cannot be read.
    """
    announced = _announced(file)
    if len(announced) > 1:
        keys = ", ".join(name for name, _ in announced)
        raise ValueError(f"{file}: expected one array, got {keys}; choose one with {file}:KEY")
    return _read(announced)[0].array


def _read(announced: Sequence[tuple[str, _Origin]]) -> list[Source]:
    """The arrays, after all of them were looked at."""
    points = [each.array.shape[:1] for _, each in announced]
    if len(set(points)) > 1 and all(points):
        listed = ", ".join(
            f"{name} {n:,}" for (name, _), (n,) in zip(announced, points, strict=True)
        )
        raise ValueError(f"expected the same number of points in every space, got {listed}")
    held = [each for _, each in announced if each.array.held]
    origins = ", ".join(each.origin for each in held)
    refuse_beyond_memory(sum(each.array.held for each in held), f"what it takes to read {origins}")
    sources = []
    for _, each in announced:
        with parsed(each.origin):
            sources.append(Source(each.origin, each.array.read()))
    return sources


def _announced(file: str) -> list[tuple[str, _Origin]]:
    path, selected = _split(file)
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a .npy or .npz file, found none")
    with parsed(file):
        if path.is_dir():
            return _announced_taps(path, selected)
        refuse_irregular(path)
        if is_npy(path):
            return [(_printable(path.stem), _Origin(_printable(file), announced_file(path)))]
        if zipfile.is_zipfile(path):
            members = announced_members(path, lambda keys: _chosen(keys, selected))
            return [
                (key, _Origin(_printable(f"{path}:{key}"), each)) for key, each in members.items()
            ]
    raise ValueError(f"{path}: expected a .npy or .npz file, got something else")


def _split(file: str) -> tuple[Path, str | None]:
    file = os.path.expanduser(file)
    if Path(file).exists():
        return Path(file), None
    folder, _, layers = file.rpartition(":")
    if folder and Path(folder).is_dir():
        return Path(folder), layers
    if _ARCHIVE in file:
        path, _, selected = file.partition(_ARCHIVE)
        return Path(f"{path}.npz"), selected
    return Path(file), None


def _announced_taps(path: Path, selected: str | None) -> list[tuple[str, _Origin]]:
    taps = open_zarr(path) if is_zarr(path) and not is_capture(path) else open_taps(path)
    return [
        (name, _Origin(_printable(f"{path}:{name}"), _of_tap(taps[name])))
        for name in _chosen(list(taps), selected)
    ]


def _of_tap(tap: Any) -> Announced:
    """A memory map stays one. A zarr array is read, since it does not index as NumPy does."""
    if isinstance(tap, np.memmap):
        return Announced(tap.shape, tap.dtype, 0, lambda: tap)
    return announced_zarr(tap)


def _chosen(keys: Sequence[str], selected: str | None) -> Sequence[str]:
    if not keys:
        raise ValueError("expected arrays, found none")
    if selected is None or selected in keys:
        return keys if selected is None else [selected]
    chosen = [key for key in selected.split(",") if key]
    missing = [key for key in chosen if key not in keys]
    if missing or not chosen:
        raise ValueError(f"expected keys among {', '.join(keys)}; got {selected}")
    return chosen


def _printable(name: str) -> str:
    """A name with the bytes written out that the locale has no letters for."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
