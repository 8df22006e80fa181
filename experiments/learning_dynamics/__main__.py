"""The command line."""

import sys

from experiments.command import run_experiment
from experiments.learning_dynamics import PRESETS, run
from experiments.learning_dynamics import __doc__ as description

if __name__ == "__main__":
    sys.exit(run_experiment("learning_dynamics", description or "", PRESETS, run))
