"""The layers of a model on disk: a folder of `.npy` files, or a zarr group.

Layers over a data set outgrow memory before anything else does. They are written a few
rows at a time, and read where they lie. A layer `encoder/1` is

    taps/encoder/1.npy      and taps/taps.json lists the layers in depth order
    taps.zarr/encoder/1     and the attribute `layers` of the group lists them

A capture appears under its name only when it is complete.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.data.zarr_groups import GROUP, LAYERS, ArraySpec, start_group
from jaxvae.data.zarr_stores import is_zarr, listed_layers, open_layers
from jaxvae.files.appending import Append, start_array
from jaxvae.files.numpy_files import announced_file, parsed
from jaxvae.files.whole import explained, whole_folder

_INDEX = "taps.json"


@contextmanager
def write_taps(
    path: str | os.PathLike[str], layers: Mapping[str, ArraySpec]
) -> Iterator[Callable[[Mapping[str, np.ndarray]], None]]:
    """Write layers, the next rows of all of them at a time, whole or not at all.

    Args:
        path: a zarr group where it ends in `.zarr`, else a folder of `.npy` files. An
            earlier capture there is replaced. Folders above it are made.
        layers: all of one length, in depth order.

    Yields:
        A function that takes the next rows of every layer.

    Raises:
        FileExistsError: where the path holds anything but a capture; nothing of it is
            touched.
        ModuleNotFoundError: for `.zarr` without zarr 3.
        ValueError: for names that are no paths inside of a folder, and where the block
            ends with other than the announced number of rows.
        OSError: if the disk cannot be written.
    """
    absolute = Path(os.path.expanduser(path)).absolute()
    _refuse_names(layers)
    _refuse_others(absolute)
    start = start_group if absolute.suffix == ".zarr" else _start_folder
    storable = {name: _storable(spec) for name, spec in layers.items()}
    with explained(absolute), whole_folder(absolute) as part:
        appends = start(part, storable, {LAYERS: list(layers)})
        written = dict.fromkeys(layers, 0)

        def append(rows: Mapping[str, np.ndarray]) -> None:
            for name, take in appends.items():
                written[name] += len(rows[name])
                take(rows[name])

        yield append
        for name, spec in layers.items():
            if written[name] != spec.shape[0]:
                raise ValueError(
                    f"{name}: expected {spec.shape[0]:,} rows in all, got {written[name]:,}"
                )


def open_taps(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The layers of a capture by name, in depth order, read only where they are indexed.

    Args:
        path: what `write_taps` wrote.

    Returns:
        Memory-mapped arrays of a folder, zarr arrays of a group; `jaxvae.metrics` takes
        both, and reads what does not fit on the device in tiles.

    Raises:
        ValueError: for a folder that is no capture, or a damaged one.
        FileNotFoundError: where there is nothing.
        ModuleNotFoundError: for a zarr group without zarr 3.
    """
    folder = Path(os.path.expanduser(path))
    if not folder.exists():
        raise FileNotFoundError(f"expected captured layers in {folder}, found nothing there")
    if (folder / _INDEX).is_file():
        return {name: _map(_file(folder, name)) for name in _listed(folder)}
    if (folder / GROUP).is_file():
        return open_layers(folder, _listed(folder))
    raise ValueError(
        f"expected captured layers in {folder}, a folder with {_INDEX} or a zarr group, "
        "got something else"
    )


def is_capture(folder: Path) -> bool:
    """Whether a folder lists layers, of which there are any; zarr groups of others do not."""
    if (folder / _INDEX).is_file():
        return True
    return any(is_zarr(folder / name) for name in listed_layers(folder))


def _listed(folder: Path) -> list[str]:
    """The names of the layers, in depth order."""
    if not (folder / _INDEX).is_file():
        layers, index = listed_layers(folder), folder / GROUP
    else:
        layers, index = _indexed(folder / _INDEX), folder / _INDEX
    if not layers:
        raise ValueError(f"{index}: expected a list of {LAYERS}, found none")
    _refuse_names(dict.fromkeys(layers))
    return layers


def _indexed(index: Path) -> list[str]:
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        layers = json.loads(index.read_text(encoding="utf-8"))[LAYERS]
        if isinstance(layers, list) and all(isinstance(name, str) for name in layers):
            return layers
    return []


def _map(file: Path) -> np.ndarray:
    with parsed(file):
        return announced_file(file).read()


def _start_folder(
    part: Path, layers: Mapping[str, ArraySpec], attributes: Mapping[str, Any]
) -> dict[str, Append]:
    appends = {name: start_array(_file(part, name), *spec) for name, spec in layers.items()}
    (part / _INDEX).write_text(json.dumps(dict(attributes), indent=1), encoding="utf-8")
    return appends


def _storable(spec: ArraySpec) -> ArraySpec:
    """bfloat16 and its like, which no file format knows, as float32, which holds them."""
    return spec._replace(dtype=np.dtype(np.float32)) if spec.dtype.kind == "V" else spec


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"


def _refuse_names(layers: Mapping[str, Any]) -> None:
    for name in layers:
        parts = name.split("/")
        if {"", ".", ".."} & set(parts) or {"\\", "\0"} & set(name) or parts[-1] == GROUP:
            raise ValueError(f"expected layers named like encoder/1, got {name!r}")


def _refuse_others(folder: Path) -> None:
    """Refuse to replace anything but a capture."""
    if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
        return
    others: list[Path] | None = None
    with suppress(ValueError, OSError):
        layers = _listed(folder)
        files = [file for file in folder.rglob("*") if not file.is_dir()]
        own = {folder / _INDEX, *(_file(folder, name) for name in layers)}
        others = [file for file in files if file not in own and not _of_zarr(file, folder)]
    if others is None:
        raise FileExistsError(f"{folder}: expected nothing or a capture, got something else")
    if others:
        raise FileExistsError(f"{folder}: expected only a capture to replace, got also {others[0]}")


def _of_zarr(file: Path, folder: Path) -> bool:
    parts = file.relative_to(folder).parts
    return file.name == GROUP or (folder.suffix == ".zarr" and "c" in parts)
