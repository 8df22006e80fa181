"""What is said while a set is read: a bar for the first time, and what was understood."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache


@cache
def say(words: str) -> None:
    """On the standard error, once a process: what was understood of images is never a secret."""
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
