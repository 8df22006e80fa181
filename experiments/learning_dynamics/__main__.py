"""The command line."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.command import run_experiment
from experiments.learning_dynamics import PRESETS, Config
from experiments.learning_dynamics import __doc__ as description

if TYPE_CHECKING:
    from rich.console import Console


def _run(config: Config, out: Path, console: "Console") -> None:
    from experiments.learning_dynamics.study import run  # noqa: PLC0415

    run(config, out, console)


if __name__ == "__main__":
    sys.exit(run_experiment("learning_dynamics", description or "", PRESETS, _run))
