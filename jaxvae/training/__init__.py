"""(init, step) pairs, epochs over device-resident images, and snapshots."""

from jaxvae.training.epochs import NonFiniteLossError as NonFiniteLossError
from jaxvae.training.epochs import Progress as Progress
from jaxvae.training.epochs import steps_per_epoch as steps_per_epoch
from jaxvae.training.epochs import train as train
from jaxvae.training.trainer import Trainer as Trainer
from jaxvae.training.trainer import TrainState as TrainState
from jaxvae.training.trainer import unit_interval as unit_interval
from jaxvae.training.trainer import vae_trainer as vae_trainer
