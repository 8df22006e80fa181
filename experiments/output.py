"""The folder of an experiment and the settings that made it."""

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jaxvae.runs import folder

_SETTINGS = "config.json"


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
    settings = dataclasses.asdict(config)
    folder.refuse_other_settings(out / _SETTINGS, settings, extendable=extendable)


def open_output(out: Path, config: Any) -> None:
    """Make the folder of an experiment and write its settings to `config.json`.

    Raises:
        OSError: if it cannot be written.
    """
    folder.write_settings(out / _SETTINGS, dataclasses.asdict(config))
