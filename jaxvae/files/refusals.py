"""Several refusals as one, so that all that is wrong is known at once."""

from collections.abc import Callable


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
