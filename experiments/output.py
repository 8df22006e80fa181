"""The folder of an experiment: its settings, and files that are whole or absent."""

import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any


def open_output(out: Path, config: Any, *, extendable: Collection[str]) -> None:
    """Make the folder of an experiment, or check that it holds the same experiment.

    Args:
        out: the folder.
        config: a frozen dataclass; written to `config.json`.
        extendable: fields that may change between runs into one folder, because
            they only say which units of work there are.

    Raises:
        ValueError: if the folder holds results of other settings.
        OSError: if it cannot be written.
    """
    settings = json.loads(json.dumps(dataclasses.asdict(config)))
    path = out / "config.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if path.exists():
            _refuse_other_settings(json.loads(path.read_text()), settings, extendable, out)
        write_whole(path, lambda part: part.write_text(json.dumps(settings, indent=2) + "\n"))
    except OSError as error:
        raise OSError(
            f"expected a folder that can be written for --out, got {out} ({error}); "
            "choose another --out"
        ) from error


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and rename it, so that it is whole or absent.

    Args:
        path: where the file goes.
        write: is given a path with the same ending to write to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(
        prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
    )
    os.close(handle)
    try:
        write(Path(part))
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _refuse_other_settings(
    stored: dict[str, Any], settings: dict[str, Any], extendable: Collection[str], out: Path
) -> None:
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
