"""A saved run, opened: what it was told, its model, and what that learned."""

import os
from pathlib import Path
from typing import NamedTuple

import jax

from jaxvae.models.hvae import HVAE
from jaxvae.models.vae import VAE, Variables
from jaxvae.runs import checkpoint
from jaxvae.runs.config import RunConfig, build_model, read_config
from jaxvae.runs.run import SETTINGS, SNAPSHOTS


class SavedRun(NamedTuple):
    """A run as its folder holds it.

    Attributes:
        config: what was trained, on what, and how.
        vae: the model, a `VAE` or an `HVAE`.
        variables: what it had learned at `step`.
        step: of the snapshot.
        steps: all snapshots there are, ascending.
    """

    config: RunConfig
    vae: VAE | HVAE
    variables: Variables
    step: int
    steps: tuple[int, ...]


def open_run(folder: Path, step: int | None = None, *, trust: bool = False) -> SavedRun:
    """The model of a saved run, as it was at one of its snapshots.

    Args:
        folder: with `run.json` and `snapshots/`, as `jaxvae train` leaves it.
        step: of the snapshot; None for the latest.
        trust: whether code outside of jaxvae that the folder names, such as a network of
            your own, may run.

    Raises:
        ValueError: for a folder that holds no run, one without that snapshot, with damaged
            files, or that names other code and is not trusted.
        OSError: for files that cannot be read.
    """
    folder = Path(os.path.expanduser(folder))
    if not (folder / SETTINGS).is_file():
        raise ValueError(f"expected a run in {folder}, with {SETTINGS}, found none")
    config, image_shape = read_config(folder / SETTINGS, trust=trust)
    steps = tuple(checkpoint.steps(folder / SNAPSHOTS))
    if not steps or (step is not None and step not in steps):
        there = ", ".join(map(str, steps)) or "none"
        asked = "" if step is None else f", asked for {step}"
        raise ValueError(f"expected a snapshot in {folder / SNAPSHOTS}, found {there}{asked}")
    step = steps[-1] if step is None else step
    vae = build_model(config, image_shape)
    like = jax.eval_shape(vae.init, jax.random.key(0))
    variables = checkpoint.load(folder / SNAPSHOTS, step, like)
    return SavedRun(config, vae, variables, step, steps)
