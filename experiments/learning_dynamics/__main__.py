"""The command line."""

import sys

from experiments.command import run_experiment
from experiments.learning_dynamics import PRESETS
from experiments.learning_dynamics import __doc__ as description

if __name__ == "__main__":
    experiment = "experiments.learning_dynamics.sweep:EXPERIMENT"
    sys.exit(run_experiment("learning_dynamics", description or "", PRESETS, experiment))
