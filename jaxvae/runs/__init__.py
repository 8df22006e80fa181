"""Training runs in folders: their settings and checkpoints, and how a run is opened or resumed."""

from jaxvae.runs.config import RunConfig as RunConfig
from jaxvae.runs.saved import SavedRun as SavedRun
from jaxvae.runs.saved import open_run as open_run
