"""The command line."""

import sys

from experiments.bottleneck import PRESETS
from experiments.bottleneck import __doc__ as description
from experiments.command import run_experiment

if __name__ == "__main__":
    experiment = "experiments.bottleneck.sweep:EXPERIMENT"
    sys.exit(run_experiment("bottleneck", description or "", PRESETS, experiment))
