"""How a folder of results was made: commands, dates, durations, machines and versions.

OUT/made/NAME.json holds an entry for every time that a command worked on NAME: a unit of a
sweep, or the training of a run.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxvae import __version__
from jaxvae.files.reading import content, is_regular
from jaxvae.files.whole import write_text_whole
from jaxvae.files.words import first_few

_FOLDER = "made"
_MINUTE, _HOUR = 60, 3600

Entry = Mapping[str, Any]


@contextmanager
def noted(out: Path, name: str, command: str) -> Iterator[None]:
    """Within the block something in a folder is made: when it ends, what made it is added there.

    Also where the block is interrupted; a block that fails and a kill leave no entry.

    Args:
        out: the folder of results.
        name: name of what is made; no other process makes it at the same time.
        command: as it was typed.

    Raises:
        OSError: before the block, if what is there already cannot be read; after a block that did
            not fail, if it cannot be written.
    """
    file, clock = out / _FOLDER / f"{name}.json", begin(command)
    before = _entries(file) if is_regular(file) else []

    def add() -> None:
        write_text_whole(file, json.dumps([*before, clock()], indent=2) + "\n")

    try:
        yield
    except KeyboardInterrupt:
        with suppress(OSError):
            add()
        raise
    add()


def begin(command: str) -> Callable[[], Entry]:
    """Start the clock of a command; what is returned gives its entry up to then."""
    began, start = datetime.now(UTC), time.perf_counter()

    def entry() -> Entry:
        return {
            "command": command,
            "began": began.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - start, 1),
            "machine": f"{cpu_model()}, {os.cpu_count()} cores, {platform.system()}",
            "device": _devices(),
            "versions": f"jaxvae {__version__}, jax {jax.__version__}, numpy {np.__version__}, "
            f"python {platform.python_version()}",
        }

    return entry


def made_by(out: Path) -> dict[str, str]:
    """How a folder, and sweeps in its folders, were made, in words; empty if that is unknown.

    Entries that are damaged or cannot be read are left out: nothing else depends on them.
    """
    files = sorted(chain(out.glob(f"{_FOLDER}/*.json"), out.glob(f"epochs-*/{_FOLDER}/*.json")))
    entries = list[Entry]()
    for file in files:
        with suppress(OSError):
            entries += _entries(file)
    return entries_in_words(entries)


def entries_in_words(entries: Sequence[Entry]) -> dict[str, str]:
    """Entries by what they say: the work of all of them is added up."""
    if not entries:
        return {}
    times = [(datetime.fromisoformat(each["began"]), each["seconds"]) for each in entries]
    began = min(start for start, _ in times)
    ended = max(start + timedelta(seconds=seconds) for start, seconds in times)
    duration = _duration(sum(seconds for _, seconds in times))
    parts = f", added up over {len(entries)} pieces of work" if len(entries) > 1 else ""
    return {
        "command": _listed(each["command"] for each in entries),
        "began": f"{began:%Y-%m-%d %H:%M} UTC",
        "ended": f"{ended:%Y-%m-%d %H:%M} UTC",
        "took": duration + parts,
        **{
            name: _listed(each[name] for each in entries)
            for name in ("machine", "device", "versions")
        },
    }


def cpu_model() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _devices() -> str:
    devices = jax.local_devices()
    count = f"{len(devices)} x " if len(devices) > 1 else ""
    return f"{count}{devices[0].device_kind}"


def _entries(file: Path) -> list[Entry]:
    """The entries of a file that are whole.

    Raises:
        OSError: where it cannot be read.
    """
    try:
        entry = json.loads(content(file))
    except ValueError:
        return []
    return [each for each in entry if _is_entry(each)] if isinstance(entry, list) else []


def _is_entry(content: Any) -> bool:
    try:
        datetime.fromisoformat(content["began"])
        texts = [content[name] for name in ("command", "machine", "device", "versions")]
        return all(isinstance(text, str) for text in texts) and float(content["seconds"]) >= 0
    except (KeyError, TypeError, ValueError):
        return False


def _listed(words: Iterable[str]) -> str:
    return first_few([*dict.fromkeys(filter(None, words))], "; ")


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{seconds:.1f} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
