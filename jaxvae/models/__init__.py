"""Parameters -> outputs and named taps."""

from jaxvae.models.vae import VAE as VAE
from jaxvae.models.vae import Outputs as Outputs
from jaxvae.models.vae import Variables as Variables
from jaxvae.models.vae import build_vae as build_vae
from jaxvae.models.vae import compact_vae as compact_vae
from jaxvae.models.vae import convolutional_vae as convolutional_vae
from jaxvae.models.vae import dense_vae as dense_vae
from jaxvae.models.vae import wide_dense_vae as wide_dense_vae
