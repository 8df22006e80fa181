"""Delta between the latents of all models at their end."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxvae.files.numpy_files import read_members
from jaxvae.metrics import imbalance_matrix
from jaxvae.runs.sweep_run import run_file

BETWEEN = "between.npz"
# The layers that models are compared in.
SPACES = ("mean", "sample")


def between_models(out: Path, runs: Sequence[str]) -> dict[str, np.ndarray]:
    """Delta from the latents of every model to those of every other, on the same images.

    Returns:
        `imbalance_between`, `[spaces, runs, runs]`; NaN for a model that has failed.
    """
    return {"imbalance_between": np.stack([_between(out, runs, space) for space in SPACES])}


def _between(out: Path, runs: Sequence[str], space: str) -> np.ndarray:
    latents = [read_members(run_file(out, name), [space]).get(space) for name in runs]
    present = [index for index, cloud in enumerate(latents) if cloud is not None]
    imbalance = np.full((len(runs), len(runs)), np.nan)
    clouds = [cloud for cloud in latents if cloud is not None]
    if clouds:
        widest = max(cloud.shape[1] for cloud in clouds)
        imbalance[np.ix_(present, present)] = imbalance_matrix(
            [widened(cloud, widest) for cloud in clouds]
        )
    return imbalance


def widened(cloud: np.ndarray, width: int) -> np.ndarray:
    """Widen a cloud by columns of zeros, which change no distance: one program for all sizes."""
    return np.pad(cloud, ((0, 0), (0, width - cloud.shape[1])))
