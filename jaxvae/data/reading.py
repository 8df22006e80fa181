"""The messages of reading a set: a bar for the first time, and how the set was read."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache


@cache
def say(words: str) -> None:
    """Print how images were read to the standard error, once a process."""
    print(words, file=sys.stderr)


@contextmanager
def reading(name: str, total: int, *, what: str = "reading") -> Iterator[Callable[[int], None]]:
    """A bar, on terminals only.

    Yields:
        A callback that is told how many more are read.
    """
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True)
    hidden = not console.is_terminal
    with Progress(console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task(f"{what} {name} (once)", total=total)
        yield lambda examples: progress.advance(task, examples)
