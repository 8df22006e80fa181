"""Numbers of things, and long lists, in words."""

from collections.abc import Sequence

_FEW = 3


def counted(count: int, noun: str) -> str:
    """A number of things, such as "1 run" or "2,000 runs"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def first_few(words: Sequence[str], separator: str = ", ") -> str:
    """The first three of some words, and dots for more of them."""
    return separator.join([*words[:_FEW], *["..."] * (len(words) > _FEW)])
