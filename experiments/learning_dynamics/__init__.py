"""Which layers of a VAE are learned when, over objectives, seeds, networks and data.

For every data set, network, objective, strength of the objective and seed, this experiment trains
a VAE. Before training and at some epochs it captures all layers, on the same held-out images with
the same noise, and measures how similar they are: between the layers and epochs of a model, and
between models at the end. The last epoch is trained twice, the second time with other batches.
The similarity of these two ends shows how much two trainings differ: a layer that was as similar
to its final state before training had nothing to learn, and is not counted.

Claims (Bonheme and Grzes 2022): the encoder's representations are learned long before the
decoder's, whatever the objective, its strength and the data; and all layers of the encoder except
the mean and the variance are similar over objectives and strengths. The paper leaves open whether
this holds for fully connected and other networks, which can be trained here.

    python -m experiments.learning_dynamics                  # demo: sprites, no download
    python -m experiments.learning_dynamics smoke            # some of MNIST, a minute or two
    python -m experiments.learning_dynamics shown            # as in docs/results
    python -m experiments.learning_dynamics architectures    # four kinds of networks
    python -m experiments.learning_dynamics paper-dsprites   # the paper's size; needs a GPU
    python -m experiments.learning_dynamics paper-smallnorb
    python -m experiments.learning_dynamics paper-cars3d

The paper's presets have its objectives and their strengths, 300,000 steps, the ramp of the
annealed VAE, the shares of training at which models are compared, and the number of images that
they are compared on; its estimator of the total correlation, whose weights are uniform in the
batch (`weighted_beta_tc_vae`); and the initialization of Keras. Three things differ: the images
that layers are compared on are held out, so that there are fewer to train on; on Cars3D they are
1,756 instead of 10,000; and the log-variance is compared instead of the variance.

The folder of results holds config.json, records.nc (xarray, one group for every data set and
network), figures/*.png, summary.md, report.html, a report for the browser, the measurements of
every model in runs/DATA/NETWORK/MODEL.npz, and the trained parameters in units/. An interrupted
experiment continues where it stopped when the same command is given again, and any number of
processes may share its folder (see `--help`). When data sets, networks, objectives, values or
seeds are added, only the models that are new are trained. A model whose loss becomes NaN or
infinite stops there, is counted as failed, and is left out of everything else.

Expected: an encoder reaches its final representation before its decoder does. Whether that also
holds for what was left to learn is decided by a test over seeds, which needs more than one seed.
"""

from experiments.learning_dynamics.config import PRESETS as PRESETS
from experiments.learning_dynamics.config import Config as Config
from experiments.learning_dynamics.config import models as models
