"""How a command ends: its exit status, and its message where it fails."""

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
from rich.console import Console

from jaxvae.files.words import in_lines
from jaxvae.runs.compiled import keep_compiled_programs
from jaxvae.runs.folder import BusyError, UnfinishedError
from jaxvae.training.processes import LostProcessError, is_first, join_processes
from jaxvae.training.signals import name_and_status, terminable

# Statuses beyond are those of signals.
_SIGNALLED = 128
# Another process holds what is needed: the same command later does it. EX_TEMPFAIL of sysexits.
BUSY = 75
_SILENT = Console(quiet=True)
# How an error of XLA begins: its status. Some of them reach Python as a ValueError.
_OF_XLA = re.compile(
    r"(ABORTED|DEADLINE_EXCEEDED|INTERNAL|RESOURCE_EXHAUSTED|UNAVAILABLE|UNKNOWN): "
)


class SentenceConsole(Console):
    """A console whose sentences, which are printed with `soft_wrap`, have a line each.

    On a terminal, which would break them within words, they have the lines that they need. Names
    and messages are printed as they are: they may hold brackets and colons.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def print(self, *objects: Any, soft_wrap: bool | None = None, **options: Any) -> None:
        """Print objects as `rich` does."""
        if soft_wrap and self.is_terminal:
            objects = tuple(
                in_lines(each, self.width) if isinstance(each, str) else each for each in objects
            )
        super().print(*objects, soft_wrap=soft_wrap, **options)


def status_of(
    work: Callable[[Console, Console], None],
    *,
    after_interruption: str,
    on_host: bool = False,
    distributed: bool = False,
) -> int:
    """Do the work of a command, with compiled programs kept, and say how it failed.

    Args:
        work: `work(console, errors)` prints to the standard output and error.
        after_interruption: a sentence on what the user may count on after an interruption.
        on_host: whether the processor is enough, so that accelerators are left to other
            processes: a process that looks for them takes their memory.
        distributed: whether this is one of several processes that work together, of which the
            first prints; each says how it failed.

    Returns:
        The exit status: 0 for success; 1 if the device failed, for example for lack of memory,
        if a loss is not finite, or if units of a sweep are left; 2 for wrong use; 75 if another
        process is at work in the folder; 130 when interrupted, 143 when terminated.
    """
    console, errors = SentenceConsole(), SentenceConsole(stderr=True)
    try:
        with terminable():
            if on_host:
                jax.config.update("jax_platforms", "cpu")
            if distributed:
                join_processes()
            _find_devices()
            keep_compiled_programs()
            shown = (console, errors) if is_first() else (_SILENT, _SILENT)
            with _warnings_printed(shown[1]):
                work(*shown)
    except KeyboardInterrupt as interruption:
        name, status = name_and_status(interruption)
        errors.print(f"{name}. {after_interruption}", style="yellow")
        return status
    except BusyError as error:
        errors.print(f"busy: {error}", style="yellow", soft_wrap=True)
        return BUSY
    except UnfinishedError as error:
        errors.print(f"unfinished: {error}", style="bold red", soft_wrap=True)
        return 1
    except (ValueError, OSError, ModuleNotFoundError) as error:
        end = _stopped if _OF_XLA.match(str(error)) else _wrong
        return end(errors, error, after_interruption)
    except (ArithmeticError, MemoryError, jax.errors.JaxRuntimeError, LostProcessError) as error:
        return _stopped(errors, error, after_interruption)
    return 0


def _wrong(errors: Console, error: Exception, after_interruption: str) -> int:
    message = _words(error, after_interruption)
    errors.print(f"error: {message}", style="bold red", soft_wrap=True)
    return 2


def _stopped(errors: Console, error: Exception, after_interruption: str) -> int:
    message = str(error).partition("\n")[0] or "out of memory"
    if jax.distributed.is_initialized() and isinstance(error, (RuntimeError, ValueError)):
        message = f"another of the processes has ended, or a device failed ({message}). "
        message += f"{after_interruption} Give it to all processes"
    errors.print(f"stopped: {message}", style="bold red", soft_wrap=True)
    return 1


class _Printed(logging.Handler):
    """Prints what is logged, as what ends a command is printed."""

    def __init__(self, errors: Console) -> None:
        super().__init__(logging.WARNING)
        self._errors = errors

    def emit(self, record: logging.LogRecord) -> None:
        self._errors.print(f"warning: {record.getMessage()}", style="yellow", soft_wrap=True)


@contextmanager
def _warnings_printed(errors: Console) -> Iterator[None]:
    """Within the block, warnings of jaxvae are printed there, and not by the root logger too."""
    logger, handler = logging.getLogger("jaxvae"), _Printed(errors)
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def end_process(status: int) -> int:
    """End the process of a command that was interrupted at once; otherwise give its status back.

    Where compiling was broken off, XLA may crash while Python takes it down, and the status of
    that would be the one that the shell sees. One of several processes would wait for the others,
    which wait for it.
    """
    if status > _SIGNALLED or (status and jax.distributed.is_initialized()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _words(error: Exception, after_interruption: str) -> str:
    """What went wrong; for a full disk or a missing permission also what the user may count on."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    message = str(error) if error.filename else error.strerror
    return f"{message}. {after_interruption}"


def _find_devices() -> None:
    """Look for the devices that JAX was told to use, before anything rests on them.

    Raises:
        ValueError: where there are none.
    """
    try:
        jax.devices()
    except RuntimeError as error:
        first_line = str(error).partition("\n")[0]
        raise ValueError(f"expected the devices of JAX_PLATFORMS, got: {first_line}") from error
