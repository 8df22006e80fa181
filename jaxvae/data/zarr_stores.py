"""Arrays of zarr stores, captures and those of others: looked at before zarr opens anything.

zarr executes what the metadata of a store ask for, pickles among it, follows every link, waits
for pipes, and takes a lost chunk for one of zeros. So the files and the metadata are read here
first, and only numbers in codecs that do no more than pack them go on to zarr.
"""

import itertools
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.data.zarr_groups import GROUP, LAYERS, import_zarr
from jaxvae.files.numpy_files import Announced

# What marks an array and a group of format 2; `GROUP` marks both of format 3.
_ARRAY, _GROUP_2 = ".zarray", ".zgroup"
_PACKED = ("codecs", "filters", "compressor")
_COMMON = {"zstd", "blosc", "gzip", "zlib", "lz4", "bz2", "lzma", "shuffle", "delta"}
# What does no more than pack numbers; others may run code.
_CODECS = {
    *("bytes", "transpose", "sharding_indexed", "crc32c"),
    *_COMMON,
    *(f"numcodecs.{name}" for name in _COMMON),
}
_MOST_CHUNKS = 1_000_000
# At least so many rows are read at a time, in whole chunks.
_ROWS = 1024
_CHUNK_NAMES = ({"name": "default"}, {"name": "default", "configuration": {"separator": "/"}})


def is_zarr(path: Path) -> bool:
    """Whether a folder says that it is a zarr array or group."""
    return any((path / name).is_file() for name in (_ARRAY, _GROUP_2, GROUP))


def open_zarr(path: Path) -> dict[str, Any]:
    """The numeric arrays of a zarr array or group, read only where they are indexed.

    Args:
        path: the folder of the store, or of a part of it.

    Returns:
        By name, sorted, as `inner/name` in groups of a group; an array alone by its folder.

    Raises:
        ValueError: for links, devices and pipes inside of it, metadata that are none, arrays
            of more than a million chunks, layers of a capture that lack chunks, and codecs
            that may do more than pack numbers, such as pickle, which executes code.
        ModuleNotFoundError: without zarr 3.
    """
    import_zarr()
    _refuse_links(path)
    arrays = {
        name or folder.stem: _opened(folder)
        for name, folder, is_numeric in _below(path, "")
        if is_numeric
    }
    return dict(sorted(arrays.items()))


def announced_zarr(array: Any) -> Announced:
    """An array that is read whole, some chunks at a time, so that zarr holds few besides."""

    def read() -> np.ndarray:
        if not array.shape:
            return np.asarray(array[...])
        full, rows = np.empty(array.shape, array.dtype), array.chunks[0]
        step = rows * -(-_ROWS // rows)
        for start in range(0, len(full), step):
            full[start : start + step] = array[start : start + step]
        return full

    return Announced(array.shape, array.dtype, array.size * array.dtype.itemsize, read)


def other_arrays(path: Path) -> list[str]:
    """The names of the arrays that `open_zarr` passes over, which hold no numbers."""
    return sorted(
        name or folder.stem for name, folder, is_numeric in _below(path, "") if not is_numeric
    )


def absent_chunks(path: Path) -> dict[str, tuple[int, int]]:
    """How many chunks of every array have no file, and of how many; zarr reads its fill value."""
    absent = {}
    for name, folder, is_numeric in _below(path, ""):
        if is_numeric:
            number = 2 if (folder / _ARRAY).is_file() else 3
            file = folder / (GROUP if number == 3 else _ARRAY)
            total = math.prod(_refuse_unsafe(file, _described(file), number))
            files = (each for *_, inside in os.walk(folder) for each in inside)
            present = sum(not each.startswith(".") and each != GROUP for each in files)
            absent[name or folder.stem] = (total - present, total)
    return absent


def open_layers(path: Path, names: list[str]) -> dict[str, Any]:
    """The layers of a captured group by name, in the order given; refused as in `open_zarr`."""
    import_zarr()
    _refuse_links(path)
    return {name: _opened(path / name) for name in names}


def listed_layers(path: Path) -> list[str]:
    """The layers that the attributes of a zarr group list, as a capture does; none for others."""
    with suppress(ValueError, OSError, KeyError, TypeError):
        layers = _described(path / GROUP)["attributes"][LAYERS]
        if isinstance(layers, list) and all(isinstance(name, str) for name in layers):
            return layers
    return []


def _refuse_links(root: Path) -> None:
    """Refuse links, devices and pipes anywhere below a folder, which itself may be a link."""
    for folder, inner, files in os.walk(root, onerror=_fail, followlinks=False):
        for name in (*inner, *files):
            path = Path(folder, name)
            kind = path.lstat().st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                raise ValueError(
                    f"{path}: expected a regular file, got something else; links, devices and "
                    "pipes inside of a zarr store are not opened"
                )


def _fail(error: OSError) -> None:
    raise error


def _below(path: Path, name: str) -> Iterator[tuple[str, Path, bool]]:
    """Name and folder of every array here and below, and whether it is of numbers."""
    metadata = _described(path / (_ARRAY if (path / _ARRAY).is_file() else GROUP))
    if (path / _ARRAY).is_file() or metadata.get("node_type") == "array":
        yield name, path, _is_numeric(metadata)
    else:
        for inner in filter(is_zarr, path.iterdir()):
            yield from _below(inner, f"{name}/{inner.name}".lstrip("/"))


def _opened(folder: Path) -> Any:
    """An array by its own metadata, not by the copy that a group may keep of them."""
    captured = _is_layer(folder.resolve())
    number = 3 if captured or not (folder / _ARRAY).is_file() else 2
    file = folder / (GROUP if number == 3 else _ARRAY)
    metadata = _described(file)
    if not metadata:
        raise ValueError(f"{file}: expected the metadata of an array, found none")
    counts = _refuse_unsafe(file, metadata, number)
    if captured:
        _refuse_lost(file, metadata, counts)
    return import_zarr().open_array(folder, mode="r", zarr_format=number)


def _refuse_unsafe(file: Path, metadata: Mapping[str, Any], number: int) -> list[int]:
    """The numbers of chunks along every axis, where nothing else stands against the array."""
    others = set(_codecs([metadata.get(each) for each in _PACKED])) - _CODECS
    if others:
        listed = ", ".join(sorted(others))
        raise ValueError(f"{file}: expected numbers, got an array packed by {listed}")
    try:
        chunks: Any = metadata.get("chunks")
        kind = (metadata["zarr_format"], "array", "regular")
        if number == 3:
            grid = metadata["chunk_grid"]
            chunks = grid["configuration"]["chunk_shape"]
            kind = (metadata["zarr_format"], metadata["node_type"], grid["name"])
        counts = _counts(metadata["shape"], chunks)
        pieces = math.prod(_counts(metadata["shape"], _innermost(metadata.get("codecs"), chunks)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file}: expected the metadata of an array, got {error!r}") from error
    if kind != (number, "array", "regular") or metadata.get("storage_transformers"):
        raise ValueError(f"{file}: expected a regular array of format {number}, got {kind}")
    if not _is_numeric(metadata):
        raise ValueError(f"{file}: expected an array of numbers, got {_type(metadata)}")
    if pieces > _MOST_CHUNKS:
        raise ValueError(f"{file}: expected at most {_MOST_CHUNKS:,} chunks, got {pieces:,}")
    return counts


def _counts(shape: list[int], chunks: list[int]) -> list[int]:
    if not all(type(size) is int for size in (*shape, *chunks)) or min((0, *shape)) < 0:
        raise ValueError(f"a shape {shape} in chunks of {chunks}")
    if min((1, *chunks)) < 1:
        raise ValueError(f"chunks of {chunks}")
    return [-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True)]


def _innermost(codecs: Any, chunks: list[int]) -> list[int]:
    """The chunks that a shard holds, where there are shards."""
    for codec in codecs or ():
        if isinstance(codec, Mapping) and codec.get("name") == "sharding_indexed":
            inside = codec["configuration"]
            return _innermost(inside.get("codecs"), inside["chunk_shape"])
    return chunks


def _is_layer(folder: Path) -> bool:
    """Whether a group above lists an array as a layer, all of whose chunks were written."""
    return any(
        folder.relative_to(above).as_posix() in listed_layers(above) for above in folder.parents
    )


def _refuse_lost(file: Path, metadata: Mapping[str, Any], counts: list[int]) -> None:
    if metadata.get("chunk_key_encoding") not in _CHUNK_NAMES:
        raise ValueError(f"{file}: expected chunks named like c/0/0, got another encoding")
    keys = itertools.product(*map(range, counts))
    present = sum(file.parent.joinpath("c", *map(str, key)).is_file() for key in keys)
    if present != math.prod(counts):
        raise ValueError(f"{file}: expected {math.prod(counts)} whole chunks, found {present}")


def _type(metadata: Mapping[str, Any]) -> Any:
    return metadata.get("data_type", metadata.get("dtype"))


def _is_numeric(metadata: Mapping[str, Any]) -> bool:
    with suppress(TypeError, ValueError):
        return isinstance(_type(metadata), str) and np.dtype(_type(metadata)).kind in "biufc"
    return False


def _codecs(metadata: Any) -> Iterator[str]:
    """The names of all codecs, also those inside of others."""
    if isinstance(metadata, Mapping):
        yield from (str(metadata[key]) for key in ("name", "id") if key in metadata)
        yield from _codecs(metadata.get("configuration"))
        metadata = [codec for codec in metadata.values() if isinstance(codec, list)]
    for codec in metadata if isinstance(metadata, list) else ():
        yield from (codec,) if isinstance(codec, str) else _codecs(codec)


def _described(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        metadata = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: expected the metadata of an array, got {error!r}") from error
    if not isinstance(metadata, dict):
        raise ValueError(f"{file}: expected the metadata of an array or a group")
    return metadata
