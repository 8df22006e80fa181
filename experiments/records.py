"""What is recorded of a run: a file of arrays for every measured epoch, whole or absent."""

import logging
import os
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.files.numpy_files import read_archive
from jaxvae.files.whole import write_whole
from jaxvae.typing import ArrayLike

_logger = logging.getLogger("jaxvae")


def record_file(folder: Path, epoch: int) -> Path:
    """Where the record of an epoch is in the folder of a run."""
    return folder / f"epoch-{epoch:04d}.npz"


def write_arrays(file: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name; whole, or nothing."""
    write_whole(file, lambda part: np.savez(part, **arrays))


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """The arrays that `write_arrays` wrote.

    Raises:
        ValueError: for a file that is damaged; names it.
    """
    return read_archive(file)


def is_written(file: Path, names: Collection[str] = ()) -> bool:
    """Whether a file is there, whole, and has arrays of these names; where not, it is said."""
    if not os.path.lexists(file):
        return False
    try:
        lacking = sorted({*names} - {*read_archive(file)})
    except ValueError as error:
        _say_once(f"{error}: it is made again")
        return False
    if lacking:
        _say_once(f"{file}: expected also {', '.join(lacking)}: it is made again")
    return not lacking


def unrecorded(folder: Path, epochs: Iterable[int], names: Collection[str]) -> list[int]:
    """The epochs of a run whose record is absent, damaged, or has no arrays of these names."""
    return [epoch for epoch in epochs if not is_written(record_file(folder, epoch), names)]


@cache
def _say_once(text: str) -> None:
    _logger.warning(text)


def as_bytes(images: ArrayLike) -> np.ndarray:
    """Images in [0, 1] as uint8, to be recorded; NaN is black."""
    return np.rint(np.clip(np.nan_to_num(np.asarray(images)), 0, 1) * 255).astype(np.uint8)
