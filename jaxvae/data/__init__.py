"""Data sets by name or path, as plain arrays of bytes."""

from jaxvae.data.dataset import Dataset, Split
from jaxvae.data.load import dataset_names, load
from jaxvae.data.taps import open_taps

__all__ = ["Dataset", "Split", "dataset_names", "load", "open_taps"]
