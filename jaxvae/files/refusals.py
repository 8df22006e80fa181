"""Several refusals as one, so that all that is wrong is known at once; hints at what was meant."""

import difflib
from collections.abc import Callable, Iterable


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
