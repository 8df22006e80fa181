"""The command line."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.command import run_experiment
from experiments.rate_allocation import PRESETS, Config
from experiments.rate_allocation import __doc__ as description

if TYPE_CHECKING:
    from rich.console import Console


def _run(config: Config, out: Path, console: "Console") -> None:
    from experiments.rate_allocation.sweep import run  # noqa: PLC0415

    run(config, out, console)


if __name__ == "__main__":
    sys.exit(run_experiment("rate_allocation", description or "", PRESETS, _run))
