"""Numbers of things and of bytes, long lists and long lines, in words."""

import re
import textwrap
from collections.abc import Sequence

# Stands for a space where no line may end.
_SPACE = "\0"


def counted(count: int, noun: str) -> str:
    """A number of things, such as "1 run" or "2,000 runs"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def in_bytes(count: int) -> str:
    """A number of bytes as a text such as `3.8 GiB` or `1.2 MiB`, never 0.0 of a unit."""
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:,.0f} B" if unit == "B" else f"{size:,.1f} {unit}"


def first_few(words: Sequence[str], separator: str = ", ", *, most: int = 3) -> str:
    """The first of some words, and how many more there are: "a, b, c and 2 more"."""
    more = f"{separator.lstrip(',')}and {len(words) - most:,} more" if len(words) > most else ""
    return separator.join(words[:most]) + more


def in_lines(text: str, width: int) -> str:
    """A text in lines of at most so many letters, which end between words and begin as before.

    A word that is longer is left whole, and so is what stands between two of `, to be copied.
    """
    whole = re.sub("`[^`]*`", lambda found: found[0].replace(" ", _SPACE), text)
    return "\n".join(_in_lines(line, width) for line in whole.split("\n")).replace(_SPACE, " ")


def _in_lines(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line,
        width,
        subsequent_indent=indent,
        expand_tabs=False,
        break_long_words=False,
        break_on_hyphens=False,
    )
