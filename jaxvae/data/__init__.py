"""Data sets as plain arrays."""

from jaxvae.data.dataset import Dataset, Split
from jaxvae.data.load import dataset_names, load

__all__ = ["Dataset", "Split", "dataset_names", "load"]
