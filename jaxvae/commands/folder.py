"""Results in a folder that may hold others: all of them, or none."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_results(out: Path) -> Iterator[Path]:
    """A place to write that becomes part of the folder `out` when the block ends well.

    Otherwise nothing is left of it, nor of `out` if it was not there.

    Raises:
        OSError: at once, if `out` cannot be written.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        with _beside(out) as name:
            part = Path(name)
            yield part
            for path in sorted(path for path in part.rglob("*") if path.is_file()):
                place = out / path.relative_to(part)
                place.parent.mkdir(exist_ok=True)
                os.replace(path, place)
    except BaseException:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise


def _beside(out: Path) -> "tempfile.TemporaryDirectory[str]":
    try:
        out.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=".part-", dir=out)
    except OSError as error:
        raise OSError(
            f"expected a folder that can be written for --out, got {out} ({error})"
        ) from error
