"""Results in a folder that may hold others: all of them, or none."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from jaxvae.files.whole import explained, hidden_folder, plainly_named, unmade_on_failure


@contextmanager
def whole_results(out: Path) -> Iterator[Path]:
    """A place to write that becomes part of the folder `out` when the block ends well.

    Otherwise nothing is left of it, nor of `out` if it was not there.

    Raises:
        OSError: at once, if `out` cannot be written.
    """
    with unmade_on_failure((out, *out.parents)), _hidden(out) as part, explained(out):
        with plainly_named(part) as plain:
            yield plain
        for path in sorted(path for path in part.rglob("*") if path.is_file()):
            target = out / path.relative_to(part)
            target.parent.mkdir(exist_ok=True)
            os.replace(path, target)


@contextmanager
def _hidden(out: Path) -> Iterator[Path]:
    with ExitStack() as stack:
        try:
            out.mkdir(parents=True, exist_ok=True)
            part = stack.enter_context(hidden_folder(out))
        except OSError as error:
            raise OSError(
                f"expected a folder that can be written for --out, got {out} ({error})"
            ) from error
        yield part
