"""Parameters -> outputs and named taps."""

from jaxvae.models.architectures import compact_vae as compact_vae
from jaxvae.models.architectures import convolutional_vae as convolutional_vae
from jaxvae.models.architectures import dense_vae as dense_vae
from jaxvae.models.architectures import wide_dense_vae as wide_dense_vae
from jaxvae.models.discriminator import Discriminator as Discriminator
from jaxvae.models.discriminator import dense_discriminator as dense_discriminator
from jaxvae.models.likelihoods import Likelihood as Likelihood
from jaxvae.models.likelihoods import bernoulli as bernoulli
from jaxvae.models.likelihoods import gaussian as gaussian
from jaxvae.models.likelihoods import learned_gaussian as learned_gaussian
from jaxvae.models.likelihoods import logistic_mixture as logistic_mixture
from jaxvae.models.vae import VAE as VAE
from jaxvae.models.vae import Outputs as Outputs
from jaxvae.models.vae import Variables as Variables
from jaxvae.models.vae import build_vae as build_vae
