"""Objectives of VAEs, one a file: the loss to minimize and its terms, in nats."""

from jaxvae.models.likelihoods import bernoulli_nll as bernoulli_nll
from jaxvae.models.likelihoods import (
    discretized_logistic_mixture_nll as discretized_logistic_mixture_nll,
)
from jaxvae.models.likelihoods import gaussian_nll as gaussian_nll
from jaxvae.objectives.annealed_vae import AnnealedVAETerms as AnnealedVAETerms
from jaxvae.objectives.annealed_vae import annealed_vae as annealed_vae
from jaxvae.objectives.annealed_vae import capacity_penalty as capacity_penalty
from jaxvae.objectives.beta_tc_vae import BetaTCVAETerms as BetaTCVAETerms
from jaxvae.objectives.beta_tc_vae import KLTerms as KLTerms
from jaxvae.objectives.beta_tc_vae import beta_tc_vae as beta_tc_vae
from jaxvae.objectives.beta_tc_vae import minibatch_stratified as minibatch_stratified
from jaxvae.objectives.beta_tc_vae import minibatch_weighted as minibatch_weighted
from jaxvae.objectives.beta_tc_vae import weighted_beta_tc_vae as weighted_beta_tc_vae
from jaxvae.objectives.beta_vae import BetaVAETerms as BetaVAETerms
from jaxvae.objectives.beta_vae import beta_vae as beta_vae
from jaxvae.objectives.dip_vae import DIPVAETerms as DIPVAETerms
from jaxvae.objectives.dip_vae import dip_penalty as dip_penalty
from jaxvae.objectives.dip_vae import dip_vae_i as dip_vae_i
from jaxvae.objectives.dip_vae import dip_vae_ii as dip_vae_ii
from jaxvae.objectives.divergences import gaussian_kl as gaussian_kl
from jaxvae.objectives.divergences import gaussian_kl_between as gaussian_kl_between
from jaxvae.objectives.factor_vae import FactorVAETerms as FactorVAETerms
from jaxvae.objectives.factor_vae import discriminator_loss as discriminator_loss
from jaxvae.objectives.factor_vae import factor_vae as factor_vae
from jaxvae.objectives.free_bits import FreeBitsTerms as FreeBitsTerms
from jaxvae.objectives.free_bits import free_bits as free_bits
from jaxvae.objectives.hierarchical_vae import HierarchicalVAETerms as HierarchicalVAETerms
from jaxvae.objectives.hierarchical_vae import hierarchical_vae as hierarchical_vae
from jaxvae.objectives.hierarchical_vae import layer_rates as layer_rates
from jaxvae.objectives.rate_targets import DistortionTargetTerms as DistortionTargetTerms
from jaxvae.objectives.rate_targets import RateTargetsTerms as RateTargetsTerms
from jaxvae.objectives.rate_targets import distortion_target as distortion_target
from jaxvae.objectives.rate_targets import rate_targets as rate_targets
from jaxvae.objectives.schedules import linear_ramp as linear_ramp
