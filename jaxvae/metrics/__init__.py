"""One published quantity a file, exact and batched."""

from jaxvae.metrics.dimension import Dimension as Dimension
from jaxvae.metrics.dimension import two_nn as two_nn
from jaxvae.metrics.dimension import two_nn_mle as two_nn_mle
from jaxvae.metrics.imbalance import Imbalance as Imbalance
from jaxvae.metrics.imbalance import imbalance_matrix as imbalance_matrix
from jaxvae.metrics.imbalance import information_imbalance as information_imbalance
from jaxvae.metrics.latents import active_units as active_units
