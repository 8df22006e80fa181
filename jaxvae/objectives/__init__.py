"""Outputs -> loss and its terms, in nats: one published objective a file."""

from jaxvae.objectives.beta_vae import BetaVAETerms as BetaVAETerms
from jaxvae.objectives.beta_vae import beta_vae as beta_vae
from jaxvae.objectives.divergences import gaussian_kl as gaussian_kl
from jaxvae.objectives.likelihoods import bernoulli_nll as bernoulli_nll
