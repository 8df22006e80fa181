"""The command line."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.bottleneck import PRESETS, Config
from experiments.bottleneck import __doc__ as description
from experiments.command import run_experiment

if TYPE_CHECKING:
    from rich.console import Console


def _run(config: Config, out: Path, console: "Console") -> None:
    from experiments.bottleneck.sweep import run  # noqa: PLC0415

    run(config, out, console)


if __name__ == "__main__":
    sys.exit(run_experiment("bottleneck", description or "", PRESETS, _run))
