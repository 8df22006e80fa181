"""Being told to end: SIGTERM as an exception, and what neither it nor Ctrl-C breaks off."""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn


class Terminated(KeyboardInterrupt):
    """The process was told to end; what heeds Ctrl-C heeds it in the same way."""


@contextmanager
def terminable() -> Iterator[None]:
    """Within the block, SIGTERM raises `Terminated` in the main thread.

    Without a signal nothing changes, and in any other thread than the main one, where
    Python takes no handlers, nothing does. The earlier handler is put back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        _put_back({signal.SIGTERM: before})


@contextmanager
def postponed() -> Iterator[None]:
    """Within the block, SIGINT and SIGTERM wait for its end; a second one does not.

    For what is short, and says too much when it is broken off. In any other thread than
    the main one nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []

    def wait(number: int, frame: FrameType | None) -> None:
        waiting.append(number)
        if len(waiting) > 1:
            _put_back(before)
            signal.raise_signal(waiting.pop())

    before = {number: signal.signal(number, wait) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        _put_back(before)
        if len(waiting) == 1:
            signal.raise_signal(waiting.pop())


def name_and_status(interruption: KeyboardInterrupt) -> tuple[str, int]:
    """What to call an interruption, and the exit status that shells give it."""
    if isinstance(interruption, Terminated):
        return "Terminated", 128 + signal.SIGTERM
    return "Interrupted", 128 + signal.SIGINT


def _put_back(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        # None: a handler that was not set from Python, which cannot be set again from here.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated
