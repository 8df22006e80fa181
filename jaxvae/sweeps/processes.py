"""Processes that this one starts on its machine, and that end before it goes on."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.context import SpawnProcess
from pathlib import Path

from rich.console import Console

from jaxvae.ending import end_process, status_of

LOGS = "workers"
# Time for a process that receives SIGTERM: the state of its unit is written.
_END_SECONDS = 60.0


@contextmanager
def child_processes(
    work: Callable[..., object],
    *,
    out: Path,
    environments: Iterable[Mapping[str, str]],
    console: Console,
) -> Iterator[list[SpawnProcess]]:
    """Processes that work within the block; those that are left at its end are told to end.

    Each writes what it says to OUT/workers/NUMBER.log. If one has failed within the block, that is
    said at its end. They also end, and save what they have, if this process is killed.

    Args:
        work: `work(console=console)` is called in each of them; `pickle` must take it.
        out: the folder.
        environments: variables for each process, besides those of this one.
        console: where a failure is told.
    """
    context = multiprocessing.get_context("spawn")
    started: list[SpawnProcess] = []
    begun: list[int] = []

    def log(number: int) -> Path:
        return out / LOGS / f"{number}.log"

    try:
        for number, environment in enumerate(environments):
            process = context.Process(target=_do, args=(work, log(number)), daemon=True)
            begun.append(log(number).stat().st_size if log(number).exists() else 0)
            with _environment_variables(environment), _ignoring_interrupts():
                process.start()
                started.append(process)
        yield started
    finally:
        for number, process in enumerate(started):
            if process.exitcode:
                console.print(
                    f"process {number} ended with status {process.exitcode}: "
                    f"{_last_line(log(number), begun[number])} ({log(number)})",
                    soft_wrap=True,
                )
            process.terminate()
        end = time.monotonic() + _END_SECONDS
        for process in started:
            process.join(max(0.0, end - time.monotonic()))
            # What does not hear loses no more than it has done since it last kept its state.
            process.kill()


def _do(work: Callable[..., object], log: Path) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)

        def do(console: Console, errors: Console) -> None:
            work(console=console)

        status = status_of(do, after_interruption="The same command continues where it stopped.")
        raise SystemExit(end_process(status))


def _end_with_parent() -> None:
    """Wait for the end of the process that started this one, and end as if told to."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _last_line(log: Path, begun: int) -> str:
    """The last line that a process printed beyond so many bytes, if it printed any."""
    with suppress(OSError, IndexError):
        printed = log.read_bytes()[begun:].decode(errors="replace")
        return printed.strip().splitlines()[-1]
    return "it printed nothing"


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Within the block, started processes ignore Ctrl-C: this process ends them."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _environment_variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Within the block, processes that are started have these variables."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
