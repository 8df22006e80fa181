"""What the runs of a sweep have learned, from the snapshots of their units."""

from pathlib import Path

import jax
import numpy as np

from jaxvae.models import HVAE, VAE, Variables
from jaxvae.runs import checkpoint
from jaxvae.runs.config import RunConfig, parsed_config
from jaxvae.sweeps.records import read_settings_of, run_file
from jaxvae.sweeps.sweep import UNITS
from jaxvae.sweeps.units import latents_of, model_of, program_of
from jaxvae.training.ensemble import cut

SNAPSHOTS = "snapshots"


def final_variables(
    out: Path, name: str, *, trust: bool = False
) -> tuple[RunConfig, VAE | HVAE, Variables]:
    """A run that is done: its settings, its model, and what that had learned at the end.

    Args:
        out: folder of the sweep.
        name: of the run.
        trust: whether code outside of jaxvae that its record names may run.

    Returns:
        Variables of the model alone, without what its unit pads them with, on the host. Runs
        of one program have one model.

    Raises:
        ValueError: for a record or a snapshot that is damaged or of something else, and for one
            that names other code and is not trusted.
        OSError: for files that cannot be read.
    """
    file = run_file(out, name)
    settings, place = read_settings_of(file)
    config, image_shape = parsed_config(settings, file, trust=trust)
    model = model_of(program_of(config, latents_of(config, image_shape)), image_shape)
    largest = model_of(program_of(config, place.latents), image_shape)
    folder = out / UNITS / place.unit / SNAPSHOTS
    every = stacked_variables(folder, config.epochs, largest, place.members)
    # Copied: parts of the arrays would keep those of all members.
    own = jax.tree.map(lambda leaf: np.array(leaf[place.member]), every)
    return config, model, cut(own, _shapes(model))


def stacked_variables(folder: Path, epoch: int, model: VAE | HVAE, members: int) -> Variables:
    """What all runs of a unit had learned at an epoch, `[members, ...]`, on the host.

    Args:
        folder: of snapshots.
        epoch: of the snapshot.
        model: the largest of the unit.
        members: how many there are.

    Raises:
        ValueError: as `checkpoint.load`.
    """
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((members, *leaf.shape), leaf.dtype), _shapes(model)
    )
    return jax.device_get(checkpoint.load(folder, epoch, like))


def _shapes(model: VAE | HVAE) -> Variables:
    return jax.eval_shape(model.init, jax.random.key(0))
