"""Where a hierarchy of latents should put its bits.

For every pair of prices (beta_top, beta_bottom) and every seed: train a hierarchical VAE on
D + sum_l beta_l R_l, and measure its rates and its distortion, what can be classified from
every layer, what it generates, and the geometry of its layers. Networks of more than two
layers get prices that grow or fall evenly, in ratio, from the top to the bottom. Beside what is
measured here stands what the paper measured: classifiers of posterior means that learn from 80%
of the test images, and inception scores of five parts.

Claims (Xiao and Bamler 2023): the rate splits into a non-negative part of every layer, each
with a price of its own; a rate bounds the accuracy of any classifier of samples of its layer;
reconstruction, classification and generation each want another split.

    python -m experiments.rate_allocation                 # demo: 3 x 3 prices, sprites, minutes
    python -m experiments.rate_allocation --seeds 0..2    # what it takes to compare cells
    python -m experiments.rate_allocation smoke           # 2 x 2, some of MNIST, a minute
    python -m experiments.rate_allocation mnist           # 7 x 7, binarized MNIST, cut down
    python -m experiments.rate_allocation deep            # 12 layers: where do the bits go?
    python -m experiments.rate_allocation paper-mnist     # 21 x 21, all of MNIST: a GPU
    python -m experiments.rate_allocation paper-cifar10   # the same in color: a GPU
    python -m experiments.rate_allocation paper-svhn
    python -m experiments.rate_allocation paper-mnist-ladder      # z_1 merged with its prior
    python -m experiments.rate_allocation paper-cifar10-ladder
    python -m experiments.rate_allocation paper-cifar10-mixture   # 256 values of every pixel

The grids of the paper, but for its ladders, are trained with --baseline: one-layer VAEs with as
many parameters as the two-layer network, at all prices, as more runs in the same folder.

Cells of the grid are trained together, many in one program. One whose loss becomes NaN or
infinite stops there and is left out; one whose rates no optimum could have, because they are
out of order among those of other cells and cost it over a nat, is marked. For every use the
cells are named that cannot be told from the best, over trainings and test images; with one
seed, which leaves the noise of training unknown, none is said to be better. Layers that
collapse are said on the way, with what to try, and recorded.

The folder of results holds config.json, records.nc (xarray), figures/*.png and summary.md.
An interrupted grid goes on where it stopped when the same command is given again; more prices
and seeds in the same folder are added to what is there. Any number of processes may share it.

Expected: no sample is classified better than its bound; distortion falls with the total rate;
with several seeds, uses whose best cells lie apart.
"""

from experiments.rate_allocation.config import PRESETS as PRESETS
from experiments.rate_allocation.config import Config as Config
