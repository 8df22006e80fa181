"""Training: trainers, epochs over images on devices, ensembles of models, and stability."""

from jaxvae.training.classification import train_classifier as train_classifier
from jaxvae.training.ensemble import train_ensemble as train_ensemble
from jaxvae.training.epochs import NonFiniteLossError as NonFiniteLossError
from jaxvae.training.epochs import steps_per_epoch as steps_per_epoch
from jaxvae.training.epochs import train as train
from jaxvae.training.images import unit_interval as unit_interval
from jaxvae.training.members import Ensemble as Ensemble
from jaxvae.training.members import Member as Member
from jaxvae.training.members import group_members as group_members
from jaxvae.training.members import init_ensemble as init_ensemble
from jaxvae.training.members import take_member as take_member
from jaxvae.training.placed import PlacedImages as PlacedImages
from jaxvae.training.placed import place_images as place_images
from jaxvae.training.progress import Progress as Progress
from jaxvae.training.replicate import replicated as replicated
from jaxvae.training.replicate import replicated_ensemble as replicated_ensemble
from jaxvae.training.stability import averaged as averaged
from jaxvae.training.stability import averaged_params as averaged_params
from jaxvae.training.stability import evaluation_variables as evaluation_variables
from jaxvae.training.stability import stabilized as stabilized
from jaxvae.training.stability import stabilized_counts as stabilized_counts
from jaxvae.training.trainer import Adversary as Adversary
from jaxvae.training.trainer import AdversaryState as AdversaryState
from jaxvae.training.trainer import Trainer as Trainer
from jaxvae.training.trainer import TrainState as TrainState
from jaxvae.training.trainer import vae_trainer as vae_trainer
