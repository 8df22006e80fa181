"""Claims of units: a file that one process holds, and that tells how far the unit is.

Where the file system has locks, the file is locked, and free on its machine the moment its process
ends. Where it has none, as some network file systems, the file belongs to whoever created it. Some
have locks that other machines do not see: a file that a process of another machine renews is held,
locked or not. Holders renew their files; two minutes without, and another process takes over.
A process that finds its unit taken over, as after it was stopped for long, leaves it alone.
Nothing rests on the claim but time: a unit that is done twice writes the same bytes twice.
"""

import fcntl
import json
import math
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jaxvae.files.errors import NO_LOCKS
from jaxvae.files.whole import age, disk_time
from jaxvae.training.signals import postponed

STALE_SECONDS = 120.0
_RENEWED_SECONDS = STALE_SECONDS / 8
# A process says how far it is once in so many seconds at most.
_TOLD_SECONDS = 2.0
_SUFFIX = ".claim"
# No other process has this word, even where machines share names and numbers.
_PROCESS = uuid.uuid4().hex
# What a file says is written over what it said, and never shorter: there is no moment without.
_LETTERS, _STATUS_LETTERS = 600, 80

Tell = Callable[[float, str], None]


class LostError(OSError):
    """Another process has taken over what this one held."""


class Holder(NamedTuple):
    """A process at work, as it says so itself.

    Attributes:
        host: its machine.
        process: its number there.
        share: how much of the unit is done, from 0 to 1.
        status: what it is doing, in words.
    """

    host: str
    process: int
    share: float
    status: str


@contextmanager
def claim(folder: Path, name: str) -> Iterator[Tell | None]:
    """Claim a unit for the time of the block.

    Args:
        folder: folder of claims; made where absent.
        name: name of the unit.

    Yields:
        `tell(share, status)`, which says to other processes how far the work is, and raises
        `LostError` if one of them has taken it over; None if another process holds the unit.

    Raises:
        LostError: at the end of a block, or for any error in it, if another process has taken the
            unit over.
        OSError: if the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}{_SUFFIX}"
    with ExitStack() as stack:
        # An interruption waits: it would leave a file that names a process that has ended.
        with postponed():
            tell = _hold(file, stack)
        try:
            yield tell
        except LostError:
            raise
        except Exception as error:
            # Whoever has it now removes what this process still wanted to read.
            if tell is not None and _is_lost(file):
                raise _lost(file) from error
            raise
        if tell is not None and _is_lost(file):
            raise _lost(file)


def holders(folder: Path) -> dict[str, Holder]:
    """The processes at work on units, by the name of the unit, as far as their files tell.

    One that has ended without a word, as by a kill, is among them for two minutes, by the clock of
    the disk; where the folder cannot be written, by that of this machine.
    """
    current, files = {}, [*folder.glob(f"*{_SUFFIX}")]
    try:
        now = disk_time(folder) if files else 0.0
    except OSError:
        now = time.time()
    for file in files:
        with suppress(OSError, ValueError, TypeError):
            if now - file.stat().st_mtime < STALE_SECONDS:
                host, process, share, status, _ = _read_claim(file)
                current[file.name.removesuffix(_SUFFIX)] = Holder(
                    str(host), int(process), float(share), str(status)
                )
    return current


def _hold(file: Path, stack: ExitStack) -> Tell | None:
    """Hold the file until the stack ends, and renew it; None if another process holds it."""
    descriptor = _locked(file) if _has_locks(file.parent) else _created(file)
    if descriptor is None:
        return None
    stack.callback(os.close, descriptor)
    try:
        tell = _teller(file, descriptor)
    except OSError:
        # A full disk. What says nothing is of no use to others.
        file.unlink(missing_ok=True)
        raise
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(descriptor, ended), daemon=True)
    stack.callback(_release, file, renewing, ended)
    renewing.start()
    return tell


def _release(file: Path, renewing: threading.Thread, ended: threading.Event) -> None:
    with postponed():
        ended.set()
        if renewing.is_alive():
            renewing.join()
        # While it is locked: who locks it later finds that it has lost its name.
        if _is_ours(file):
            file.unlink(missing_ok=True)


@cache
def _has_locks(folder: Path) -> bool:
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in NO_LOCKS:
                return False
            raise
    return True


def _locked(file: Path) -> int | None:
    """A descriptor of the file, locked while the file had its name; None if it is taken."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            named = os.fstat(descriptor).st_ino == file.stat().st_ino
        except FileNotFoundError:
            named = False
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        if named and not _is_held_elsewhere(file):
            return descriptor
        os.close(descriptor)
        if named:
            return None


def _is_held_elsewhere(file: Path) -> bool:
    """Whether a process of another machine is at work, which a lock of this one does not tell."""
    try:
        return _read_claim(file)[0] != socket.gethostname() and _age(file) <= STALE_SECONDS
    except OSError:
        # It cannot be read now: it may be.
        return True
    except (ValueError, TypeError, IndexError):
        return False


def _created(file: Path) -> int | None:
    """A descriptor of the file, if this process has made it; None if it is taken."""
    if file.exists() and _age(file) > STALE_SECONDS:
        _take_away(file)
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return None


def _take_away(file: Path) -> None:
    """Remove a file that nobody renews, unless another process has just taken it over."""
    aside = file.with_name(f".{uuid.uuid4().hex}.stale")
    # One of several that take it over at once finds it gone.
    with suppress(FileNotFoundError):
        file.rename(aside)
        if _age(aside) > STALE_SECONDS:
            aside.unlink()
        else:
            aside.rename(file)


def _age(file: Path) -> float:
    """Seconds since it was renewed; none if it is no longer there."""
    with suppress(FileNotFoundError):
        return age(file)
    return 0.0


def _renew(descriptor: int, ended: threading.Event) -> None:
    while not ended.wait(_RENEWED_SECONDS):
        with suppress(OSError):
            os.utime(descriptor)


def _read_claim(file: Path) -> list[Any]:
    """The text that `_teller` wrote: host, process, share, status, and whose it is."""
    return json.loads(file.read_text(encoding="utf-8"))


def _is_ours(file: Path) -> bool:
    with suppress(OSError, ValueError, TypeError, IndexError):
        return _read_claim(file)[-1] == _PROCESS
    return False


def _is_lost(file: Path) -> bool:
    """Whether it is gone, or names another process; what cannot be read now says neither."""
    try:
        return _read_claim(file)[-1] != _PROCESS
    except FileNotFoundError:
        return True
    except (OSError, ValueError, TypeError, IndexError):
        return False


def _lost(file: Path) -> LostError:
    return LostError(f"expected {file} to be held by this process, which lost it")


def _teller(file: Path, descriptor: int) -> Tell:
    """Writes who is at work, at once and when told, but not more often than can be seen."""
    written_at = -math.inf

    def write(share: float, status: str) -> None:
        nonlocal written_at
        written_at = time.monotonic()
        words = [socket.gethostname(), os.getpid(), share, status[:_STATUS_LETTERS], _PROCESS]
        os.pwrite(descriptor, json.dumps(words).ljust(_LETTERS).encode(), 0)

    def tell(share: float, status: str) -> None:
        if time.monotonic() - written_at < _TOLD_SECONDS:
            return
        if _is_lost(file):
            raise _lost(file)
        with suppress(OSError):
            write(share, status)

    write(0.0, "beginning")
    return tell
