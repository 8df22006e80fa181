"""SIGTERM and Ctrl-C as exceptions: none is lost, and short work can postpone them."""

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
    """The process received SIGTERM; code that handles Ctrl-C handles it in the same way."""


# Exceptions that were raised and not handled yet; the loops of training look at them.
_pending: list[KeyboardInterrupt] = []


@contextmanager
def terminable() -> Iterator[None]:
    """Within the block, SIGTERM raises `Terminated` in the main thread, and neither is lost.

    Python drops an exception that comes up in a finalizer or in a callback of the garbage
    collection, of which compiling has many: it is raised again until it is handled.

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

    signal.signal(signal.SIGTERM, _raise_now)
    signal.signal(signal.SIGALRM, _raise_again)
    # One that is ignored, as in the background of a shell, stays so.
    if before[signal.SIGINT] is signal.default_int_handler:
        signal.signal(signal.SIGINT, _raise_now)
    sys.unraisablehook = dropped
    try:
        yield
        raise_pending()
    finally:
        clear_pending()
        sys.unraisablehook = hook
        _put_back(before)


def raise_pending() -> None:
    """Raise an interruption that was not handled yet: for loops, which lose nothing here."""
    if _pending:
        raise _pending[-1]


def clear_pending() -> None:
    """The interruption is being handled: it is not raised again."""
    _pending.clear()
    if signal.getsignal(signal.SIGALRM) is _raise_again:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def postponed() -> Iterator[Sequence[int]]:
    """Within the block, SIGINT and SIGTERM wait for its end; a second one does not.

    A block within another waits for the end of the outer one.

    For work that is short and would print long errors if it were broken off, or that looks at
    the signals itself. In any other thread than the main one nothing changes.

    Yields:
        The signals that wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield ()
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for handler in before.values():
        if isinstance(handler, _Wait):
            yield handler.received
            return
    wait = _Wait(before, [])
    try:
        for number in before:
            signal.signal(number, wait)
        yield wait.received
    finally:
        _put_back(before)
        if len(wait.received) == 1:
            signal.raise_signal(wait.received.pop())


def name_and_status(interruption: KeyboardInterrupt) -> tuple[str, int]:
    """The word for an interruption, and the exit status that shells give it."""
    if isinstance(interruption, Terminated):
        return "Terminated", 128 + signal.SIGTERM
    return "Interrupted", 128 + signal.SIGINT


@dataclass(frozen=True, eq=False)
class _Wait:
    """A handler that keeps the first signal; at a second one it gives way to those before it."""

    before: Mapping[Any, Any]
    received: list[int]

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.received.append(number)
        if len(self.received) > 1:
            _put_back(self.before)
            signal.raise_signal(self.received.pop())


def _put_back(handlers: Mapping[Any, Any]) -> None:
    for number, handler in handlers.items():
        # None: a handler that was not set from Python, which cannot be set again from here.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _raise_now(number: int, frame: FrameType | None) -> None:
    _pending.append(Terminated() if number == signal.SIGTERM else KeyboardInterrupt())
    raise _pending[-1]


def _raise_again(number: int, frame: FrameType | None) -> None:
    if signal.getsignal(signal.SIGTERM) is _raise_now:
        raise_pending()
    else:  # postponed
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
