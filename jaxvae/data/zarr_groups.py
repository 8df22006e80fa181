"""Layers written to a zarr group: every chunk with a checksum, and all of them written."""

import re
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvae.files.appending import Append

GROUP = "zarr.json"
# The attribute of a group that lists the layers of a capture.
LAYERS = "layers"

_CHUNK_BYTES = 1 << 22
# In versions before this one a pickle could come in by a filter.
_SAFE_NUMCODECS = (0, 16, 6)


class ArraySpec(NamedTuple):
    """The shape and type of an array that is to be written.

    Attributes:
        shape: `[n, ...]`, the shape of the whole array.
        dtype: the type of its numbers.
    """

    shape: tuple[int, ...]
    dtype: np.dtype


def start_group(part: Path, layers: Mapping[str, ArraySpec], attributes: Mapping[str, Any]) -> Any:
    """A new group, and by layer what appends rows to it.

    Raises:
        ModuleNotFoundError: without zarr 3.
        OSError: if it cannot be written.
    """
    group = import_zarr().open_group(part, mode="w", zarr_format=3)
    group.attrs.update(attributes)
    return {name: _start_array(group, name, spec) for name, spec in layers.items()}


def _start_array(group: Any, name: str, spec: ArraySpec) -> Append:
    """Rows wait until their chunk is full: half a chunk would be read and packed again."""
    from zarr.codecs import Crc32cCodec, ZstdCodec  # noqa: PLC0415

    n, *features = spec.shape
    size = min(n, _chunk_rows(spec))
    chunks = (size, *features)
    array = group.create_array(
        name,
        shape=spec.shape,
        chunks=chunks,
        dtype=spec.dtype,
        compressors=(ZstdCodec(level=0), Crc32cCodec()),
        # Else a lost chunk could not be told from one of zeros.
        config={"write_empty_chunks": True},
    )
    waiting, done = np.empty(chunks, spec.dtype), 0

    def append(rows: np.ndarray) -> None:
        nonlocal done
        while len(rows):
            offset = done % size
            piece, rows = rows[: size - offset], rows[size - offset :]
            waiting[offset : offset + len(piece)] = piece
            done += len(piece)
            if done % size == 0 or done == n:
                first = (done - 1) // size * size
                array[first:done] = waiting[: done - first]

    return append


def _chunk_rows(spec: ArraySpec) -> int:
    """Whole rows, because distances need them; a power of two, as the tiles are read in."""
    row_bytes = int(np.prod(spec.shape[1:])) * spec.dtype.itemsize
    return int(2 ** (max(1, _CHUNK_BYTES // row_bytes).bit_length() - 1))


def import_zarr() -> Any:
    """The `zarr` module, version 3, with a numcodecs that is safe.

    Raises:
        ValueError: for an older numcodecs.
        ModuleNotFoundError: without zarr 3.
    """
    with suppress(ModuleNotFoundError, PackageNotFoundError):
        import zarr  # noqa: PLC0415

        if hasattr(zarr, "create_group"):
            installed = tuple(map(int, re.findall(r"\d+", version("numcodecs"))[:3]))
            if installed < _SAFE_NUMCODECS:
                wanted = ".".join(map(str, _SAFE_NUMCODECS))
                raise ValueError(
                    f"expected numcodecs {wanted}, whose predecessors run what a damaged or "
                    f"foreign group says: pip install 'numcodecs>={wanted}'"
                )
            return zarr
    raise ModuleNotFoundError(
        "expected zarr 3 for a .zarr group, found none: pip install 'zarr>=3', or use a folder "
        "of .npy files, whose name does not end in .zarr"
    )
