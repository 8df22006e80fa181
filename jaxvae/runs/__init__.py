"""A run in a folder: its settings, its checkpoints, and how it is opened again."""

from jaxvae.runs.config import RunConfig as RunConfig
from jaxvae.runs.saved import SavedRun as SavedRun
from jaxvae.runs.saved import open_run as open_run
