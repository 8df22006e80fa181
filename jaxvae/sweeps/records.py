"""The record of every run of a sweep: one file of arrays, written when the run is done.

OUT/runs/NAME.npz holds what was measured at every epoch, as `[epochs, ...]`, and at the last one
alone; the settings of the run as JSON; and where its variables are. Readers take the arrays they
want, so that a merge of thousands of runs never holds what it does not merge.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from jaxvae.files.numpy_files import read_archive, read_members, verify_archive
from jaxvae.files.reading import left_alone
from jaxvae.files.whole import write_whole
from jaxvae.runs.config import RunConfig
from jaxvae.runs.sweep_run import Place, run_file, settings_arrays
from jaxvae.typing import ImageShape

Arrays = Mapping[str, np.ndarray]

_logger = logging.getLogger("jaxvae")


def done_runs(out: Path, names: Iterable[str]) -> set[str]:
    """The runs whose records are there and whole; a message names damaged ones.

    Every file is read once in a process, and again where it has changed.

    Raises:
        OSError: for a file that cannot be read: it may be whole.
    """
    return {name for name in names if is_whole(run_file(out, name))}


def is_whole(file: Path) -> bool:
    """Whether an archive of arrays is there, and what was written; a damaged one is said.

    Raises:
        OSError: where it cannot be read, which says nothing about what is in it.
    """
    try:
        with left_alone(file):
            stat = file.stat()
        return _is_whole(file, stat.st_mtime_ns, stat.st_size)
    except (FileNotFoundError, NotADirectoryError):
        return False


def write_run(
    out: Path,
    name: str,
    arrays: Arrays,
    *,
    config: RunConfig,
    image_shape: ImageShape,
    place: Place,
    scratch: Path,
) -> None:
    """Write the record of a run, whole.

    Args:
        out: folder of the sweep.
        name: name of the run.
        arrays: what was measured.
        config: configuration of the run.
        image_shape: shape of its images.
        place: where its variables are.
        scratch: a folder on the same disk, of the process that holds the unit.

    Raises:
        OSError: if the disk cannot be written; nothing of it is left.
    """
    settings = settings_arrays(config, image_shape, place)
    write_arrays(run_file(out, name), {**arrays, **settings}, scratch=scratch)


def write_arrays(file: Path, arrays: Mapping[str, object], *, scratch: Path) -> None:
    """Write arrays by name, whole, or nothing.

    Args:
        file: where they go; folders above it are made.
        arrays: by name.
        scratch: a folder on the same disk in which the file is put together. What a kill leaves
            there is removed by the next who writes there.

    Raises:
        OSError: if the disk cannot be written.
    """
    write_whole(file, lambda part: np.savez(part, **arrays), scratch=scratch)  # type: ignore[arg-type]


def read_run(out: Path, name: str) -> dict[str, np.ndarray]:
    """All that is recorded of a run.

    Raises:
        ValueError: for a file that is damaged; names it.
        OSError: for one that cannot be read.
    """
    return read_archive(run_file(out, name))


def over_runs(out: Path, runs: Sequence[str], names: Iterable[str]) -> dict[str, np.ndarray]:
    """The recorded arrays of many runs, `[runs, ...]` by name.

    A run that is absent, has no array of a name, or arrays of which one is damaged, has NaN there,
    zeros of whole numbers, or empty texts. Nothing but these arrays is read, one file at a time.
    Names that no run has are left out.

    Raises:
        ValueError: for an array of another shape or type than that of the other runs; names
            the file.
        OSError: for a file that cannot be read.
    """
    wanted, stacked = tuple(names), {}
    for index, run in enumerate(runs):
        file = run_file(out, run)
        for name, recorded in _read_if_whole(file, wanted).items():
            values = recorded
            if name not in stacked:
                empty = np.nan if values.dtype.kind == "f" else values.dtype.type()
                stacked[name] = np.full((len(runs), *values.shape), empty, values.dtype)
            if values.dtype.kind == "U":
                # Texts of other runs may be longer.
                wide = np.promote_types(stacked[name].dtype, values.dtype)
                values, stacked[name] = values.astype(wide), stacked[name].astype(wide, copy=False)
            expected = stacked[name][index]
            if (values.shape, values.dtype) != (expected.shape, stacked[name].dtype):
                raise ValueError(
                    f"expected {name} of shape {expected.shape} and type {stacked[name].dtype} in "
                    f"{file}, as in other runs, got {values.shape} and {values.dtype}"
                )
            stacked[name][index] = values
    return stacked


def _read_if_whole(file: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    try:
        return read_members(file, names)
    except (ValueError, FileNotFoundError, NotADirectoryError):
        # `is_whole` says that a damaged one is none.
        return {}


@cache
def _is_whole(file: Path, changed: int, size: int) -> bool:
    try:
        verify_archive(file)
    except ValueError:
        _logger.warning("%s is damaged: what is in it is made again", file)
        return False
    return True
