"""The command line."""

import sys

from experiments.command import run_experiment
from experiments.rate_allocation import PRESETS
from experiments.rate_allocation import __doc__ as description

if __name__ == "__main__":
    experiment = "experiments.rate_allocation.sweep:EXPERIMENT"
    sys.exit(run_experiment("rate_allocation", description or "", PRESETS, experiment))
