"""The folder of an experiment: its settings, and files that are whole or absent."""

import dataclasses
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SETTINGS = "config.json"
_LOCK = ".lock"


def refuse_other_settings(out: Path, config: Any, *, extendable: Collection[str]) -> None:
    """Check that a folder holds no results of another experiment.

    Args:
        out: the folder, which may be absent.
        config: a frozen dataclass.
        extendable: fields that may change between runs into one folder, because
            they only say which units of work there are.

    Raises:
        ValueError: if it was made with other settings, or they cannot be read.
    """
    if not (out / _SETTINGS).exists():
        return
    settings = _settings(config)
    try:
        stored = json.loads((out / _SETTINGS).read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"expected settings in {out / _SETTINGS}, got {error}") from error
    changed = [
        f"{name} {stored.get(name)!r} (now {settings.get(name)!r})"
        for name in sorted({*stored, *settings} - set(extendable))
        if stored.get(name) != settings.get(name)
    ]
    if changed:
        raise ValueError(
            f"expected the settings that made the results in {out}: {', '.join(changed)}; "
            "choose another --out, or remove that folder"
        )


def open_output(out: Path, config: Any) -> None:
    """Make the folder of an experiment and write its settings to `config.json`.

    Raises:
        OSError: if it cannot be written.
    """
    text = json.dumps(_settings(config), indent=2) + "\n"
    try:
        write_whole(out / _SETTINGS, lambda part: part.write_text(text))
    except OSError as error:
        raise OSError(
            f"expected a folder that can be written for --out, got {out} ({error}); "
            "choose another --out"
        ) from error


@contextmanager
def sole_process(out: Path) -> Iterator[None]:
    """Keep other processes out of a folder; the system frees it when this one ends.

    Raises:
        OSError: if another process is at work there.
    """
    with open(out / _LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(f"expected no other process at work in {out}; wait for it") from error
        yield


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and rename it, so that it is whole or absent.

    Args:
        path: where the file goes.
        write: is given a path with the same ending to write to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    try:
        write(Path(part))
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _settings(config: Any) -> dict[str, Any]:
    return json.loads(json.dumps(dataclasses.asdict(config)))
