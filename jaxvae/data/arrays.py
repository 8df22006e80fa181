"""`.npy`, `.npz` and zarr files and captured layers -> arrays by name, with nothing unpickled."""

import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvae.data.taps import is_capture, open_taps
from jaxvae.data.zarr_stores import is_zarr, open_zarr

_ARCHIVE = ".npz:"
_OBJECTS = "Object arrays"
_NPY = b"\x93NUMPY"


class Source(NamedTuple):
    """An array of a file.

    Attributes:
        origin: the file as it was given, with the key in an archive or a capture.
        array: memory-mapped where the file is a `.npy`.
    """

    origin: str
    array: np.ndarray


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
        ValueError: for files that are neither, folders that are no capture and no zarr
            store, keys that are not there, archives without arrays, arrays of Python objects
            (named, with those beside them), and a zarr group without zarr.
        OSError: for files that cannot be read.
    """
    found = [named for file in files for named in _read(file)]
    short = Counter(name for name, _ in found)
    named: dict[str, Source] = {}
    for name, source in found:
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
    found = _read(file)
    if len(found) > 1:
        keys = ", ".join(name for name, _ in found)
        raise ValueError(f"{file}: expected one array, got {keys}; choose one with {file}:KEY")
    return found[0][1].array


def _read(file: str) -> list[tuple[str, Source]]:
    path, selected = _split(file)
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a .npy or .npz file, found none")
    try:
        if path.is_dir():
            return _read_folder(path, selected)
        with open(path, "rb") as opened:
            start = opened.read(len(_NPY))
        if start == _NPY:
            return [(path.stem, Source(file, np.load(path, mmap_mode="r")))]
        if zipfile.is_zipfile(path):
            return _read_archive(path, selected)
    except (ValueError, EOFError, zipfile.BadZipFile, ModuleNotFoundError) as error:
        raise ValueError(f"{file}: {_reason(error)}") from error
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


def _read_folder(path: Path, selected: str | None) -> list[tuple[str, Source]]:
    foreign = is_zarr(path) and not is_capture(path)
    arrays = open_zarr(path) if foreign else open_taps(path)
    # A memory map stays one. A zarr array is read, since it does not index as NumPy does.
    return [
        (name, Source(f"{path}:{name}", np.asanyarray(arrays[name])))
        for name in _chosen(list(arrays), selected)
    ]


def _read_archive(path: Path, selected: str | None) -> list[tuple[str, Source]]:
    with np.load(path) as archive:
        keys = _chosen(archive.files, selected)
        arrays = {key: _member(archive, key) for key in keys}
    others = [key for key, array in arrays.items() if array is not None]
    for key, array in arrays.items():
        if array is None:
            choice = f"; choose the others with {path}:{','.join(others)}" if others else ""
            raise ValueError(f"expected real numbers, got pickled Python objects in {key}{choice}")
        if not isinstance(array, np.ndarray):
            raise ValueError(f"expected arrays, got a file {key}")
    return [(key, Source(f"{path}:{key}", array)) for key, array in arrays.items()]


def _member(archive: Any, key: str) -> Any:
    """An array, or None where it holds Python objects."""
    try:
        return archive[key]
    except ValueError as error:
        if _OBJECTS in str(error):
            return None
        raise


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


def _reason(error: Exception) -> str:
    if _OBJECTS in str(error) or "Python objects in dtype" in str(error):
        return "expected real numbers, got pickled Python objects"
    if "'<f1'" in str(error):
        return (
            "expected real numbers, got a type that NumPy's files do not keep, probably float8; "
            "save it as float32"
        )
    return str(error)
