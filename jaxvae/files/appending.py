"""Arrays that are written a few rows at a time, in `.npy` files of a known shape."""

import errno
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

Append = Callable[[np.ndarray], None]


def start_array(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> Append:
    """Start a file, and return the function that appends rows to it.

    Rows are written and not memory-mapped: a disk that fills up under a mapping kills
    the process, a write raises.

    Args:
        path: what is there is begun anew; folders above it are made.
        shape: `[n, ...]` of all that will be written.
        dtype: type of its numbers.

    Raises:
        OSError: if the file cannot be written, here or when appending; at once where the disk
            has no room for all of it.
    """
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        if math.prod(shape) * dtype.itemsize > shutil.disk_usage(path.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        np.lib.format.write_array_header_1_0(file, header)

    def append(rows: np.ndarray) -> None:
        with path.open("ab") as file:
            file.write(np.ascontiguousarray(rows, dtype=dtype).data)

    return append
