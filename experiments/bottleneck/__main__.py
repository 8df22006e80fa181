"""The command line."""

import sys

from experiments.bottleneck import PRESETS, run
from experiments.bottleneck import __doc__ as description
from experiments.command import run_experiment

if __name__ == "__main__":
    sys.exit(run_experiment("bottleneck", description or "", PRESETS, run))
