"""Refusals of what is no count or share, several refusals as one, and hints at what was meant."""

import difflib
import operator
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import numpy as np


def all_pass(*checks: Callable[[], object]) -> None:
    """Make every check, also where one before it refuses.

    Raises:
        ValueError: with what all of them say, in their order, once each.
    """
    messages: dict[str, None] = {}
    for check in checks:
        try:
            check()
        except ValueError as error:
            messages[str(error)] = None
    if messages:
        raise ValueError(". Also: ".join(messages))


def did_you_mean(known: Iterable[str], *names: str) -> str:
    """A hint at the known names that mistyped ones may mean, or nothing."""
    known = [*known]
    close = dict.fromkeys(each for name in names for each in difflib.get_close_matches(name, known))
    return f"; did you mean {' or '.join(close)}?" if close else ""


def close_to_it(names: Iterable[str]) -> str:
    """A sentence that lists names close to the one that was given, or nothing."""
    listed = ", ".join(names)
    return f" Close to it: {listed}." if listed else ""


def refuse_no_share(error: float) -> None:
    """Refuse as the error of a conclusion what is not between 0 and 1.

    Raises:
        ValueError: says what came.
    """
    if not 0 < error < 1:
        raise ValueError(f"expected 0 < error < 1, got {error}")


def as_count(value: Any, refusal: str, *, least: int, most: int | None = None) -> int:
    """A whole number as an `int`, be it Python's, NumPy's or JAX's.

    Args:
        value: what was given.
        refusal: what to say of anything else, booleans and whole floats among them.
        least: the smallest that is taken.
        most: the largest, or None for no such limit.

    Raises:
        ValueError: says the refusal.
    """
    if not isinstance(value, bool | np.bool_):
        with suppress(TypeError):
            count = operator.index(value)
            if least <= count and (most is None or count <= most):
                return count
    raise ValueError(refusal)
