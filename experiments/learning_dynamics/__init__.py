"""Which layers of a VAE are learned when, over objectives, seeds, networks and data.

For every data set, network, objective, strength of the objective and seed: train a VAE,
capture all layers at evenly spaced epochs and before training, on the same held-out images
with the same noise, and compare them: between layers and epochs of a model, and between
models at the end.

Claims (Bonheme and Grzes 2022): the encoder's representations are learned long before the
decoder's; whatever the objective, its strength and the data; and all of the encoder's but
the mean and the variance are alike over objectives and strengths. Left open there, asked
here: fully connected and other networks.

    python -m experiments.learning_dynamics                  # demo: sprites, no download
    python -m experiments.learning_dynamics smoke            # some of MNIST, a minute or two
    python -m experiments.learning_dynamics shown            # what the README shows
    python -m experiments.learning_dynamics architectures    # four kinds of networks
    python -m experiments.learning_dynamics paper-dsprites   # the paper's size: a GPU
    python -m experiments.learning_dynamics paper-smallnorb
    python -m experiments.learning_dynamics paper-cars3d

The folder of results holds config.json, records.nc (xarray, one group for every data set and
network), figures/DATA/NETWORK/*.png, figures/*.png and summary.md. Every model is a saved run,
which `jaxvae report` and `jaxvae capture` read. An interrupted experiment goes on where it
stopped when the same command is given again.

Expected: an encoder reaches its final representation before its decoder does.
"""

from experiments.learning_dynamics.grid import PRESETS as PRESETS
from experiments.learning_dynamics.grid import Config as Config
from experiments.learning_dynamics.grid import models as models
