"""The folder of results: its settings, and one process at a time."""

import fcntl
import json
import operator
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxvae.files.errors import NO_LOCKS
from jaxvae.files.reading import content
from jaxvae.files.whole import remove_leftovers, write_text_whole

_LOCK = ".lock"


class BusyError(OSError):
    """Raised where another process is at work in the folder."""


class UnfinishedError(RuntimeError):
    """Raised where something is left that could not be done."""


def refuse_other_settings(
    file: Path,
    stored: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    extendable: Collection[str] = (),
) -> None:
    """Check that a folder holds no results of other settings.

    Args:
        file: where they are.
        stored: what `stored_settings` found there.
        settings: by name.
        extendable: names of those that may change between runs into one folder,
            because they only say how much work there is.

    Raises:
        ValueError: if it was made with other settings.
    """
    now = as_json(settings)
    names = sorted({*stored, *now} - set(extendable)) if stored else ()
    changed = [
        change for name in names for change in _changes(name, stored.get(name), now.get(name))
    ]
    if changed:
        raise ValueError(
            f"expected the settings that made the results in {file.parent}: {', '.join(changed)}; "
            "choose another --out"
        )


def refuse_other_results(file: Path, made: str) -> None:
    """Refuse a folder that holds results of another kind, whose page would be overwritten.

    Args:
        file: a file that only the other kind has.
        made: what it is, in words.

    Raises:
        ValueError: if the file is there.
    """
    if file.is_file():
        raise ValueError(
            f"expected another --out than {file.parent}, which holds the results of {made}"
        )


def stored_settings(file: Path) -> dict[str, Any]:
    """The settings that made a folder, by name; none where there is no file.

    Raises:
        ValueError: for a file that holds none; says what to do.
        OSError: for a file that cannot be read.
    """
    if not os.path.lexists(file):
        return {}
    try:
        return read_settings(file)
    except ValueError as error:
        raise ValueError(
            f"{error}; where this command is the one that made {file.parent}, remove {file.name} "
            "alone, and it goes on"
        ) from error


def read_settings(file: Path) -> dict[str, Any]:
    """The settings that `write_settings` wrote, by name.

    Raises:
        ValueError: for a file that holds none; names it.
        OSError: for a file that cannot be read.
    """
    try:
        stored = json.loads(content(file))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected settings in {file}, got {error}") from error
    if not isinstance(stored, dict) or not stored:
        raise ValueError(f"expected settings in {file}, got {stored or 'none'}")
    return stored


def write_settings(file: Path, settings: Mapping[str, Any]) -> None:
    """Write settings as JSON, whole; makes the folder.

    Raises:
        OSError: if it cannot be written.
    """
    text = json.dumps(as_json(settings), indent=2) + "\n"
    try:
        write_text_whole(file, text)
    except OSError as error:
        raise OSError(
            f"expected a folder that can be written for --out, got {file.parent} ({error}); "
            "choose another --out"
        ) from error


def refuse_unwritable(folder: Path) -> None:
    """Refuse a folder that cannot be written, or made where it is absent.

    Raises:
        ValueError: says what to do.
    """
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise ValueError(
            f"expected a folder that can be written for --out, got {folder}, in which "
            f"{existing} is {'not writable' if existing.is_dir() else 'no folder'}; choose "
            "another --out"
        )


def as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they will be read again: lists for tuples, Python's numbers for NumPy's."""
    return json.loads(json.dumps(dict(settings), default=operator.index))


@contextmanager
def sole_process(out: Path) -> Iterator[None]:
    """Keep other processes out of a folder; the system frees it when this one ends.

    On a disk without locks, as some network file systems, nothing keeps them out. What a kill left
    half written there is removed.

    Raises:
        BusyError: if another process is at work there.
    """
    with open(out / _LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(f"expected no other process at work in {out}; wait for it") from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        remove_leftovers(out)
        yield


def _changes(name: str, value: Any, now: Any) -> list[str]:
    """A setting that differs, or settings within it, of which one that is absent is None."""
    pairs = {name: (value, now)}
    if isinstance(value, dict) and isinstance(now, dict):
        inner = sorted({*value, *now})
        pairs = {f"{name} {each}": (value.get(each), now.get(each)) for each in inner}
    return [
        f"{each} {_shown(one)} (now {_shown(other)})"
        for each, (one, other) in pairs.items()
        if one != other
    ]


def _shown(value: Any) -> str:
    return "not given" if value is None else repr(value)
