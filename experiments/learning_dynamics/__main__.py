"""The command line of learning dynamics."""

import sys

from experiments.learning_dynamics import PRESETS
from experiments.learning_dynamics import __doc__ as description
from jaxvae.commands.experiment import run_experiment

if __name__ == "__main__":
    experiment = "experiments.learning_dynamics.sweep:EXPERIMENT"
    sys.exit(
        run_experiment("experiments.learning_dynamics", description or "", PRESETS, experiment)
    )
