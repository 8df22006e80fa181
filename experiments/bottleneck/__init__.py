"""How the geometry of a VAE's layers changes as its bottleneck grows.

For every bottleneck size K and seed: train a VAE, and at chosen epochs measure on
held-out images the intrinsic dimension (ID) of every layer and the information
imbalance Delta between all pairs of layers; at the end also the ID over scales, from near
to far neighbors, and Delta between the latents of all models, or of the first seeds where there
are more than 64 of them.

Claims (Camboulin, Doimo and Glielmo 2024): once K exceeds the ID of the data, the
ID over layers becomes a double hunchback, with a second peak in the decoder; the
same transition shows in the imbalance; training at large K has two phases, a rapid
fit and then a slower one in which KL and imbalance move apart. The sweep says for which
K the second peak and the second phase are shown, excluded or not decided.

    python -m experiments.bottleneck                 # demo: sprites, no download, 2 minutes
    python -m experiments.bottleneck smoke           # some of MNIST, half a minute
    python -m experiments.bottleneck mnist           # dense VAEs, all of MNIST, 3 seeds
    python -m experiments.bottleneck paper-mnist     # the paper's network and training: a GPU
    python -m experiments.bottleneck paper-cifar10   # the same in color: a GPU

How long all of it will take is said first. Models of similar size are trained in one program.
One whose loss becomes NaN or infinite stops there; the others go on, and it is left out of
figures and summary.

The folder of results holds config.json, records.nc (xarray), figures/*.png,
summary.md and report.html, a page to open in a browser.
An interrupted sweep goes on where it stopped when the same command is given again, and any
number of processes may work on one folder; that of an older version is refused.

Expected: the ID of the mean follows K and all but stops growing where K is large enough;
Delta(output -> input) falls until there and is flat beyond, while the ID in the decoder
grows on. In the demo that is at K = 4: sprites vary in scale, orientation and two positions,
besides their shape.
"""

from experiments.bottleneck.config import PRESETS as PRESETS
from experiments.bottleneck.config import Config as Config
