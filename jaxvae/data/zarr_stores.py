"""Arrays of zarr stores that others wrote: one array, or a group of them, of format 2 or 3."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxvae.data.numpy_files import refuse_irregular
from jaxvae.data.zarr_groups import import_zarr

# What marks an array and a group of format 2; one file marks both of format 3.
_ARRAY, _GROUP, _NODE = ".zarray", ".zgroup", "zarr.json"
_PACKED = ("codecs", "filters", "compressor")
# What does no more than pack numbers; others may run code.
_CODECS = {
    *("bytes", "transpose", "sharding_indexed", "crc32c", "zstd", "blosc", "gzip", "zlib"),
    *("lz4", "bz2", "lzma", "shuffle", "delta"),
}


def is_zarr(place: Path) -> bool:
    """Whether a folder says that it is a zarr array or group."""
    return any((place / name).is_file() for name in (_ARRAY, _GROUP, _NODE))


def open_zarr(place: Path) -> dict[str, Any]:
    """The numeric arrays of a zarr array or group, read only where they are indexed.

    Args:
        place: the folder of the store.

    Returns:
        By name, sorted, as `inner/name` in groups of a group; an array alone by its folder.

    Raises:
        ValueError: for files that zarr cannot read, and codecs that may do more than pack
            numbers, such as pickle, which executes code.
        ModuleNotFoundError: without zarr 3.
    """
    zarr = import_zarr()
    found = {}
    for name, folder, number in _arrays(place, ""):
        # By its own metadata, not by the copy that a group may keep of them.
        array = zarr.open_array(folder, mode="r", zarr_format=number)
        if array.dtype.kind in "biufc":
            found[name or folder.stem] = array
    return dict(sorted(found.items()))


def _arrays(place: Path, name: str) -> Iterator[tuple[str, Path, int]]:
    """Name, folder and format of every array here and below."""
    number = 2 if (place / _ARRAY).is_file() else 3
    node = _described(place / (_ARRAY if number == 2 else _NODE))
    if number == 2 or node.get("node_type") == "array":
        others = set(_codecs([node.get(each) for each in _PACKED])) - _CODECS
        if others:
            listed = ", ".join(sorted(others))
            raise ValueError(f"expected numbers, got an array packed by {listed} in {place}")
        yield name, place, number
    else:
        for inner in filter(is_zarr, place.iterdir()):
            yield from _arrays(inner, f"{name}/{inner.name}".lstrip("/"))


def _codecs(said: Any) -> Iterator[str]:
    """The names of all codecs, also those inside of others."""
    if isinstance(said, Mapping):
        yield from (str(said[key]) for key in ("name", "id") if key in said)
        yield from _codecs(said.get("configuration"))
        said = [each for each in said.values() if isinstance(each, list)]
    for each in said if isinstance(said, list) else ():
        yield from _codecs(each)


def _described(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        refuse_irregular(file)
        said = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: expected JSON, got {error}") from error
    if not isinstance(said, dict):
        raise ValueError(f"{file}: expected the description of an array or a group")
    return said
