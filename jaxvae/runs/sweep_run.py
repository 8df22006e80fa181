"""A run of a sweep: its record in a file of its own, its variables among those of its unit.

OUT/config.json                      the settings of the sweep
OUT/runs/NAME.npz                    what was measured of the run, its settings, and its place
OUT/units/UNIT/snapshots/step-EPOCH  the variables of all runs of a unit, stacked
"""

import dataclasses
import json
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxvae.files.numpy_files import parsed, read_members
from jaxvae.models import HVAE, VAE, Variables
from jaxvae.runs import checkpoint
from jaxvae.runs.building import build_model, variable_shapes
from jaxvae.runs.checkpoint import SNAPSHOTS
from jaxvae.runs.config import RunConfig, parsed_config, run_settings
from jaxvae.training.members import cut
from jaxvae.typing import ImageShape

SWEEP_FILE = "config.json"
RUNS, UNITS = "runs", "units"
RECORD_SUFFIX = ".npz"
# Where the settings of a run are in its record, and each part of its place.
_SETTINGS, _PLACE = "run_settings", "unit_{}"


class Place(NamedTuple):
    """The place of the variables of a run in the folder of a sweep.

    Attributes:
        unit: name of a folder under OUT/units.
        member: index of the run among those of the unit.
        members: how many there are.
        latents: number of latents of the arrays that hold its bottleneck there.
    """

    unit: str
    member: int
    members: int
    latents: int

    def snapshots(self, out: Path) -> Path:
        """The folder of the snapshots of the unit."""
        return out / UNITS / self.unit / SNAPSHOTS


class SweepRun(NamedTuple):
    """A finished run of a sweep.

    Attributes:
        config: its settings.
        model: model of the run; runs of one program and size have one model.
        variables: what it had learned at the end, without what the unit pads them with, on
            the host.
        place: where they are.
    """

    config: RunConfig
    model: VAE | HVAE
    variables: Variables
    place: Place


def run_file(out: Path, name: str) -> Path:
    """The file of the record of a run."""
    return out / RUNS / f"{name}{RECORD_SUFFIX}"


def settings_arrays(config: RunConfig, image_shape: ImageShape, place: Place) -> dict[str, Any]:
    """The settings of a run and the place of its variables, as arrays of its record."""
    settings = json.dumps(run_settings(config, image_shape=image_shape))
    parts = {_PLACE.format(part): value for part, value in place._asdict().items()}
    return {_SETTINGS: settings, **parts}


def read_settings_of(file: Path) -> tuple[dict[str, Any], Place]:
    """The settings of a run as `run_settings` made them, and where its variables are.

    Raises:
        ValueError: for a file that is no record of a run, or damaged.
    """
    parts = [_PLACE.format(part) for part in Place._fields]
    arrays = read_members(file, (_SETTINGS, *parts))
    with parsed(file):
        unit, *numbers = (arrays[part] for part in parts)
        return json.loads(str(arrays[_SETTINGS])), Place(str(unit), *map(int, numbers))


def open_sweep_run(out: Path, name: str, *, trust: bool = False) -> SweepRun:
    """A run that is done, with its model and what that had learned at the end.

    Args:
        out: folder of the sweep.
        name: name of the run.
        trust: whether code outside of jaxvae that its record names may run.

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
    try:
        every = stacked_variables(place.snapshots(out), config.epochs, largest, place.members)
    except ValueError as error:
        raise ValueError(
            f"{error}. The measurements of the run are whole; for its model, remove {file}, and "
            "the command of the sweep trains it again"
        ) from error
    own = jax.tree.map(lambda leaf: leaf[place.member], every)
    return SweepRun(config, model, cut(own, variable_shapes(model)), place)


# The runs of a unit are asked for one after another.
@lru_cache(maxsize=2)
def stacked_variables(folder: Path, epoch: int, model: VAE | HVAE, members: int) -> Variables:
    """The learned variables of all runs of a unit at an epoch, `[members, ...]`, on the host.

    Args:
        folder: folder of snapshots.
        epoch: epoch of the snapshot.
        model: the largest of the unit.
        members: how many there are.

    Raises:
        ValueError: as `checkpoint.load`.
    """
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((members, *leaf.shape), leaf.dtype),
        variable_shapes(model),
    )
    return jax.device_get(checkpoint.load(folder, epoch, like))


@cache
def model_of(program: RunConfig, image_shape: ImageShape) -> VAE | HVAE:
    """The model of a program: one object, so that what is compiled for it is found again."""
    return build_model(program, image_shape)


def program_of(config: RunConfig, latents: int) -> RunConfig:
    """A run without what models of one program differ in, with room for so many latents.

    The sizes of a hierarchy are options: it stays as it is.
    """
    ones = {
        name: (1.0,) * len(value) if isinstance(value, Sequence) else 1.0
        for name, value in config.coefficients.items()
    }
    size = None if config.latents is None else latents
    return dataclasses.replace(config, coefficients=ones, latents=size, learning_rate=1.0, seed=0)


def latents_of(config: RunConfig, image_shape: ImageShape) -> int:
    """The size of the bottleneck of the model that a run builds; of a hierarchy, of all layers."""
    if config.latents is not None:
        return config.latents
    return build_model(config, image_shape).latents
