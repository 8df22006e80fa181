"""Messages about settings, in the words of the command line."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


def flag_of(name: str) -> str:
    """The flag of a setting."""
    return f"--{name.replace('_', '-')}"


@contextmanager
def flags_named(names: Iterable[str]) -> Iterator[None]:
    """Within the block, a message of a `ValueError` names the flags of these settings.

    A name within a path, in quotes or as a value is left as it is, and one that may be any word
    unless an equals sign follows it.
    """
    every = sorted(names)
    long = "|".join(name for name in every if "_" in name)
    pattern = rf"(?<![^\s(])((?:{long})(?=[\s=,;:.)]|$)|(?:{'|'.join(every)})(?==))"
    try:
        yield
    except ValueError as error:
        message = re.sub(pattern, lambda match: flag_of(match[0]), str(error))
        # A range, which Python writes as a pair.
        message = re.sub(r"(--value-range=)\(([^\s,()]+), ([^\s,()]+)\)", r"\1\2:\3", message)
        raise ValueError(message) from error
