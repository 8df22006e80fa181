"""Numbers and names as they are written on the command line, one or several."""

import argparse
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def count(text: str) -> int:
    """A whole number of at least 1.

    Raises:
        argparse.ArgumentTypeError: for other words.
    """
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a count of at least 1, got {text!r}")


def positive(text: str) -> float:
    """A finite number above 0.

    Raises:
        argparse.ArgumentTypeError: for other words.
    """
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them, each once; blanks around them say nothing."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def several(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """Reads values with commas between them."""

    def values(text: str) -> tuple[Any, ...]:
        return tuple(map(kind, text.split(",")))

    # Where one cannot be read, argparse says which kind was expected.
    values.__name__ = kind.__name__
    return values


def seeds(text: str) -> tuple[int, ...]:
    """Seeds as a list or a range: `0,3,7`, `0..4`, or both, `0..4,10`.

    Raises:
        argparse.ArgumentTypeError: for other words, and ranges that are empty.
    """
    numbers: list[int] = []
    for part in text.split(","):
        first, dots, last = part.partition("..")
        if not (first.isdecimal() and (last.isdecimal() if dots else True)):
            raise argparse.ArgumentTypeError(
                f"expected seeds as a list such as 0,3,7 or a range such as 0..4, got {text!r}"
            )
        span = range(int(first), int(last if dots else first) + 1)
        if not span:
            raise argparse.ArgumentTypeError(f"expected a range that ascends, got {part!r}")
        numbers.extend(span)
    return tuple(sorted(set(numbers)))


def value_range(text: str) -> tuple[float, float]:
    """LOW:HIGH as two numbers.

    Raises:
        argparse.ArgumentTypeError: for anything else.
    """
    try:
        low, high = map(float, text.split(":"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected LOW:HIGH, such as 0:16, got {text}") from error
    return low, high
