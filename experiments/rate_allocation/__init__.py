"""How a hierarchy of latents should split its rate between its layers.

The loss of a hierarchical VAE is the distortion D plus the rate R_l (the KL divergence) of every
layer l of latents, weighted by a beta of its own: D + sum_l beta_l R_l. For every pair of weights
(beta_top, beta_bottom) of a grid and every seed, this experiment trains a hierarchical VAE, and
measures its rates and its distortion, how well labels can be classified from every layer, how
good the generated images are, and the geometry of the layers. In networks of more than two layers
beta changes by a constant ratio from each layer to the next. The same quantities are also
measured as in the paper: classifiers of posterior means learn from 80% of the test images, and
inception scores are those of five parts of the generated images.

Claims (Xiao and Bamler 2023): the rate splits into a non-negative part of every layer, each with
a beta of its own; a rate bounds the accuracy of any classifier of samples of its layer; and
reconstruction, classification and generation are best at different splits of the rate.

    python -m experiments.rate_allocation                 # demo: 3 x 3 betas, sprites, minutes
    python -m experiments.rate_allocation --seeds 0..3    # seeds enough to compare cells
    python -m experiments.rate_allocation smoke           # 2 x 2 betas, 1,000 digits, a minute
    python -m experiments.rate_allocation mnist           # 7 x 7 betas, 10,000 binarized digits
    python -m experiments.rate_allocation deep            # 12 layers of latents
    python -m experiments.rate_allocation paper-mnist     # 21 x 21, all of MNIST; needs a GPU
    python -m experiments.rate_allocation paper-cifar10   # the same on color images; needs a GPU
    python -m experiments.rate_allocation paper-svhn
    python -m experiments.rate_allocation paper-mnist-ladder      # z_1 merged with its prior
    python -m experiments.rate_allocation paper-cifar10-ladder
    python -m experiments.rate_allocation paper-cifar10-mixture   # pixels of 256 values

The grids of the paper, except for its ladders, are trained with --baseline: one-layer VAEs with
as many parameters as the two-layer network, with every beta of the grid, as more runs in the same
folder.

Many cells of the grid are trained together in one program. A model whose loss becomes NaN or
infinite stops there and is left out. A model is marked as suspect if its rates are out of order
among those of other cells, and the model of another cell would have a loss more than a nat lower at
its betas: then it is not at its optimum. For every use the summary names the cells that cannot be
told from the best one, given the noise of training and of the test images; one seed leaves the
noise of training unknown, and no cell is then said to be better. A layer that collapses is reported
during training, with advice, and recorded.

The folder of results holds config.json, records.nc (xarray), figures/*.png, summary.md and
report.html, a report for the browser. An interrupted grid continues where it stopped when the
same command is given again; more betas and seeds in the same folder are added to the models that
are there. Any number of processes may share the folder.

Expected: no classifier of samples is more accurate than its bound; distortion falls with the
total rate; and with several seeds there are uses that have no best cell in common.
"""

from experiments.rate_allocation.config import PRESETS as PRESETS
from experiments.rate_allocation.config import Config as Config
