"""Being told to end: SIGTERM and Ctrl-C as exceptions that are heard, and what they wait for."""

import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

# Seconds until an exception that Python dropped is raised again.
_AGAIN_SECONDS = 0.05
_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)


class Terminated(KeyboardInterrupt):
    """The process was told to end; what heeds Ctrl-C heeds it in the same way."""


# What was raised and has not been heard yet; the loops of training look at it.
_told: list[KeyboardInterrupt] = []


@contextmanager
def terminable() -> Iterator[None]:
    """Within the block, SIGTERM raises `Terminated` in the main thread, and neither is lost.

    Python drops an exception that comes up in a finalizer or in a callback of the garbage
    collection, of which compiling has many: it is raised again until it is heard.

    Without a signal nothing changes, and in any other thread than the main one, where
    Python takes no handlers, nothing does. The earlier handlers are put back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _HANDLED}
    hook = sys.unraisablehook

    def dropped(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            hook(unraisable)
        else:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)

    signal.signal(signal.SIGTERM, _tell)
    signal.signal(signal.SIGALRM, _tell_again)
    # One that is ignored, as in the background of a shell, stays so.
    if before[signal.SIGINT] is signal.default_int_handler:
        signal.signal(signal.SIGINT, _tell)
    sys.unraisablehook = dropped
    try:
        yield
        heed()
    finally:
        heard()
        sys.unraisablehook = hook
        _put_back(before)


def heed() -> None:
    """Raise what the process was told and has not heard: for loops, which lose nothing here."""
    if _told:
        raise _told[-1]


def heard() -> None:
    """What the process was told is being heeded: it is not raised again."""
    _told.clear()
    if signal.getsignal(signal.SIGALRM) is _tell_again:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def postponed() -> Iterator[Sequence[int]]:
    """Within the block, SIGINT and SIGTERM wait for its end; a second one does not.

    A block within another waits for the end of the outer one.

    For what is short, and says too much when it is broken off; or looks at what it is told by
    itself. In any other thread than the main one nothing changes.

    Yields:
        The signals that wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield ()
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for handler in before.values():
        if isinstance(handler, _Wait):
            yield handler.told
            return
    wait = _Wait(before, [])
    for number in before:
        signal.signal(number, wait)
    try:
        yield wait.told
    finally:
        _put_back(before)
        if len(wait.told) == 1:
            signal.raise_signal(wait.told.pop())


def name_and_status(interruption: KeyboardInterrupt) -> tuple[str, int]:
    """The word for an interruption, and the exit status that shells give it."""
    if isinstance(interruption, Terminated):
        return "Terminated", 128 + signal.SIGTERM
    return "Interrupted", 128 + signal.SIGINT


@dataclass(frozen=True, eq=False)
class _Wait:
    """A handler that keeps the first signal; at a second one it gives way to those before it."""

    before: Mapping[Any, Any]
    told: list[int]

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.told.append(number)
        if len(self.told) > 1:
            _put_back(self.before)
            signal.raise_signal(self.told.pop())


def _put_back(handlers: Mapping[Any, Any]) -> None:
    for number, handler in handlers.items():
        # None: a handler that was not set from Python, which cannot be set again from here.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _tell(number: int, frame: FrameType | None) -> None:
    _told.append(Terminated() if number == signal.SIGTERM else KeyboardInterrupt())
    raise _told[-1]


def _tell_again(number: int, frame: FrameType | None) -> None:
    if signal.getsignal(signal.SIGTERM) is _tell:
        heed()
    else:  # postponed
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
