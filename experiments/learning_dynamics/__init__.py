"""Which layers of a VAE are learned when, over objectives, seeds, networks and data.

For every data set, network, objective, strength of the objective and seed: train a VAE,
capture all layers at some epochs and before training, on the same held-out images with the
same noise, and compare them: between layers and epochs of a model, and between models at the
end. The last epoch is trained twice, the second time with other batches: a layer that was no
farther from its end untrained had nothing to learn.

Claims (Bonheme and Grzes 2022): the encoder's representations are learned long before the
decoder's; whatever the objective, its strength and the data; and all of the encoder's but
the mean and the variance are alike over objectives and strengths. Left open there, asked
here: fully connected and other networks.

    python -m experiments.learning_dynamics                  # demo: sprites, no download
    python -m experiments.learning_dynamics smoke            # some of MNIST, a minute or two
    python -m experiments.learning_dynamics shown            # docs/results/learning_dynamics.md
    python -m experiments.learning_dynamics architectures    # four kinds of networks
    python -m experiments.learning_dynamics paper-dsprites   # the paper's size: a GPU
    python -m experiments.learning_dynamics paper-smallnorb
    python -m experiments.learning_dynamics paper-cars3d

The paper's presets have its objectives, strengths, 300,000 steps, ramp, shares of training at
which models are compared, and points; its estimator of the total correlation, whose weights are
uniform in the batch (`weighted_beta_tc_vae`); and the initialization of Keras. What differs: the
images that layers are compared on are held out, so that fewer are trained on; on Cars3D they
are 1,756 instead of 10,000; and the log-variance is compared, not the variance.

The folder of results holds config.json, records.nc (xarray, one group for every data set and
network), figures/*.png, summary.md, and runs/DATA/NETWORK/MODEL.npz, what is known of every model;
what they have learned is in units/. An interrupted experiment goes on where it stopped when the
same command is given again, and any number of processes may share its folder: see `--help`. More
data sets, networks, objectives, values and seeds train only what is new. Models whose loss becomes
NaN or infinite stop there, are counted, and are left out of all else.

Expected: an encoder reaches its final representation before its decoder does. Whether that is
so of what was left to learn is decided by a test over seeds, and by none with one seed.
"""

from experiments.learning_dynamics.grid import PRESETS as PRESETS
from experiments.learning_dynamics.grid import Config as Config
from experiments.learning_dynamics.grid import models as models
