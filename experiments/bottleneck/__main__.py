"""The command line of the bottleneck sweep."""

import sys

from experiments.bottleneck import PRESETS
from experiments.bottleneck import __doc__ as description
from jaxvae.commands.experiment import run_experiment

if __name__ == "__main__":
    experiment = "experiments.bottleneck.sweep:EXPERIMENT"
    sys.exit(run_experiment("experiments.bottleneck", description or "", PRESETS, experiment))
