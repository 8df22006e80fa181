"""What is recorded of a run: a file of arrays for every measured epoch, whole or absent."""

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.data.whole import write_whole
from jaxvae.typing import ArrayLike


def record_file(folder: Path, epoch: int) -> Path:
    """Where the record of an epoch is in the folder of a run."""
    return folder / f"epoch-{epoch:04d}.npz"


def write_arrays(file: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name; whole, or nothing."""
    write_whole(file, lambda part: np.savez(part, **arrays))


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """The arrays that `write_arrays` wrote."""
    with np.load(file) as arrays:
        return dict(arrays)


def names_in(file: Path) -> set[str]:
    """Of the arrays that `write_arrays` wrote, which are not read."""
    with np.load(file) as arrays:
        return set(arrays.files)


def is_written(file: Path) -> bool:
    """Whether a file is there and not torn."""
    return zipfile.is_zipfile(file)


def unrecorded(folder: Path, epochs: Iterable[int]) -> list[int]:
    """The epochs of a run whose record is absent or torn."""
    return [epoch for epoch in epochs if not is_written(record_file(folder, epoch))]


def as_bytes(images: ArrayLike) -> np.ndarray:
    """Images in [0, 1] as uint8, to be recorded; NaN is black."""
    return np.rint(np.clip(np.nan_to_num(np.asarray(images)), 0, 1) * 255).astype(np.uint8)
