"""The command line."""

import sys

from experiments.command import run_experiment
from experiments.rate_allocation import PRESETS, run
from experiments.rate_allocation import __doc__ as description

if __name__ == "__main__":
    sys.exit(run_experiment("rate_allocation", description or "", PRESETS, run))
