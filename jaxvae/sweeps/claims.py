"""Who does which unit: a file that one process holds, and that tells how far it is.

Where the file system has locks, the file is locked, and free the moment its process ends. Where
it has none, as some network file systems, the file belongs to whoever created it, for as long
as its time is renewed; two minutes without, and another process takes it over. Nothing rests on
the claim but time: a unit that is done twice writes the same bytes twice.
"""

import errno
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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

STALE_SECONDS = 120.0
_RENEWED_SECONDS = STALE_SECONDS / 8
# Between two times that a process says how far it is.
_TOLD_SECONDS = 2.0
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)
_SUFFIX = ".claim"
# Of this process alone, also where machines share names and numbers.
_PROCESS = uuid.uuid4().hex

Tell = Callable[[float, str], None]
Lock = Callable[[int, int], None]


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
def claim(folder: Path, name: str, *, lock: Lock = fcntl.flock) -> Iterator[Tell | None]:
    """Claim a unit for the time of the block.

    Args:
        folder: of claims; made where absent.
        name: of the unit.
        lock: as `fcntl.flock`.

    Yields:
        `tell(share, status)`, which says to other processes how far the work is; None if
        another process holds the unit.

    Raises:
        OSError: if the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    way = _locked if _has_locks(folder, lock) else _created
    with way(folder / f"{name}{_SUFFIX}") as tell:
        yield tell


def holders(folder: Path) -> dict[str, Holder]:
    """Who is at work on which unit, by the name of the unit, as far as their files tell."""
    found = {}
    for file in folder.glob(f"*{_SUFFIX}"):
        with suppress(OSError, ValueError, TypeError):
            host, process, share, status, _ = json.loads(file.read_text(encoding="utf-8"))
            found[file.name.removesuffix(_SUFFIX)] = Holder(
                str(host), int(process), float(share), str(status)
            )
    return found


def _has_locks(folder: Path, lock: Lock) -> bool:
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            lock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            raise
    return True


@contextmanager
def _locked(file: Path) -> Iterator[Tell | None]:
    descriptor = _lock(file)
    if descriptor is None:
        yield None
        return
    try:
        yield _teller(file)
    finally:
        # While it is locked: who locks it later finds that it has lost its name.
        file.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(file: Path) -> int | None:
    """A descriptor of the file, locked while the file had its name; None if it is taken."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        with suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == file.stat().st_ino:
                return descriptor
        os.close(descriptor)


@contextmanager
def _created(file: Path) -> Iterator[Tell | None]:
    if not _create(file):
        yield None
        return
    tell, ended = _teller(file), threading.Event()
    renewing = threading.Thread(target=_renew, args=(file, ended), daemon=True)
    renewing.start()
    try:
        yield tell
    finally:
        ended.set()
        renewing.join()
        if _is_ours(file):
            file.unlink(missing_ok=True)


def _create(file: Path) -> bool:
    """Whether this process has made the file, in place of one that nobody renews any more."""
    if file.exists() and _age(file) > STALE_SECONDS:
        # One of several that take it over at once finds it gone.
        with suppress(FileNotFoundError):
            stale = file.with_name(f".{uuid.uuid4().hex}.stale")
            file.rename(stale)
            stale.unlink()
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        return False
    return True


def _age(file: Path) -> float:
    """Seconds since it was renewed, by the clock of the disk that it is on."""
    with tempfile.NamedTemporaryFile(dir=file.parent) as now, suppress(FileNotFoundError):
        return os.stat(now.name).st_mtime - file.stat().st_mtime
    return 0.0


def _renew(file: Path, ended: threading.Event) -> None:
    while not ended.wait(_RENEWED_SECONDS):
        with suppress(FileNotFoundError):
            if _is_ours(file):
                os.utime(file)


def _is_ours(file: Path) -> bool:
    """Whether a created file was not taken over, as from a process that was stopped for long."""
    with suppress(OSError, ValueError):
        return json.loads(file.read_text(encoding="utf-8"))[-1] == _PROCESS
    return False


def _teller(file: Path) -> Tell:
    """Writes who is at work, at once and when told, but not more often than can be seen."""
    said = -math.inf

    def tell(share: float, status: str) -> None:
        nonlocal said
        if time.monotonic() - said < _TOLD_SECONDS:
            return
        said = time.monotonic()
        # Whoever reads it in the midst of this finds no JSON, and reads it again later.
        with suppress(OSError):
            file.write_text(
                json.dumps([socket.gethostname(), os.getpid(), share, status, _PROCESS]),
                encoding="utf-8",
            )

    tell(0.0, "beginning")
    return tell
