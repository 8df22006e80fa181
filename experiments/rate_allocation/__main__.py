"""The command line of the grid of betas."""

import sys

from experiments.rate_allocation import PRESETS
from experiments.rate_allocation import __doc__ as description
from jaxvae.commands.experiment import run_experiment

if __name__ == "__main__":
    experiment = "experiments.rate_allocation.sweep:EXPERIMENT"
    sys.exit(run_experiment("experiments.rate_allocation", description or "", PRESETS, experiment))
