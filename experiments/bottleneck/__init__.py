"""How the geometry of a VAE's layers changes as its bottleneck grows.

For every bottleneck size K and every seed, this experiment trains a VAE. At chosen epochs it
measures on held-out images the intrinsic dimension (ID) of every layer, and the information
imbalance Delta between all pairs of layers: near 0, neighbors in one layer are neighbors in the
other; near 1, neighbors in one layer say nothing about those in the other. At the end it also
measures the ID over scales, from near to far neighbors, and Delta between the latents of all
models, or of those of the first seeds if there are more than 64 models.

Claims (Camboulin, Doimo and Glielmo 2024): once K exceeds the ID of the data, the ID over layers
becomes a double hunchback, with a second peak in the decoder; the imbalance changes at the same
K; and training at large K has two phases, a rapid fit and then a slower one in which the KL
divergence falls and the imbalance rises. The summary says for which K the second peak and the
second phase are shown, excluded or not decided.

    python -m experiments.bottleneck                 # demo: sprites, no download, minutes
    python -m experiments.bottleneck smoke           # some of MNIST, half a minute
    python -m experiments.bottleneck mnist           # dense VAEs, all of MNIST, 3 seeds
    python -m experiments.bottleneck paper-mnist     # the paper's network and training; needs a GPU
    python -m experiments.bottleneck paper-cifar10   # the same on color images; needs a GPU

The sweep first estimates how long it will take. Models of similar size are trained together in
one program. A model whose loss becomes NaN or infinite stops there and is left out of figures
and summary; the others go on.

The folder of results holds config.json, records.nc (xarray), figures/*.png, summary.md and
report.html, a report for the browser. An interrupted sweep continues where it stopped when the
same command is given again. Any number of processes may work on one folder; the folder of an
older version is refused.

Expected: the ID of the posterior mean grows with K and nearly stops growing where K is large
enough; Delta(output -> input) falls up to that K and is flat beyond, while the ID in the decoder
keeps growing. In the demo that is K = 4: sprites vary in scale, orientation and two positions,
besides their shape.
"""

from experiments.bottleneck.config import PRESETS as PRESETS
from experiments.bottleneck.config import Config as Config
