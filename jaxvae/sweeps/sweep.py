"""The definition of a sweep: its runs, when and how they are measured, and comparisons of runs."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from jax.sharding import Mesh

from jaxvae.data import Dataset
from jaxvae.files.numpy_files import read_members
from jaxvae.models import HVAE, VAE, Variables
from jaxvae.runs.checkpoint import RESUME
from jaxvae.runs.config import RunConfig
from jaxvae.runs.images import dataset_of
from jaxvae.runs.sweep_run import UNITS
from jaxvae.sweeps.records import Arrays, done_runs, is_whole
from jaxvae.sweeps.units import Unit, unit_name, units_of
from jaxvae.typing import ImageShape, Key

CLAIMS = "claims"
# Stands between the name of a unit and what tells a folder for some of its runs from others.
PART = "-"
MADE_OF = "made_of"


class Trained(NamedTuple):
    """A model of a sweep at one of the epochs at which it is measured.

    Attributes:
        name: name of its run.
        config: configuration of its run.
        model: the largest of its unit: one program serves all of them.
        variables: what it has learned, padded with zeros where the largest has more, so that
            latents that it lacks have no rate and change nothing.
        latents: number of latents of the model itself.
        epoch: passes over the training images.
        is_last: whether training ends there.
        stopped: whether its loss became NaN or infinite, where it has stopped.
        dataset: what it is trained on.
        key: key of the noise, the same at every epoch.
        at: `at(epoch)`, its variables at an earlier measured epoch or this one.
        replicate: `replicate()`, its variables after another last epoch, at the last one,
            where the sweep makes them.
        warn: `warn(text)` shows that something is wrong with the model.
    """

    name: str
    config: RunConfig
    model: VAE | HVAE
    variables: Variables
    latents: int
    epoch: int
    is_last: bool
    stopped: bool
    dataset: Dataset
    key: Key
    at: Callable[[int], Variables]
    replicate: Callable[[], Variables]
    warn: Callable[[str], None]


class Afterwards(NamedTuple):
    """A comparison of many runs, which is made once they are done.

    Attributes:
        title: in words.
        file: where it goes.
        needs: names of the runs.
        make: `make(note)` returns arrays by name; `note(text)` shows what it is at.
    """

    title: str
    file: Path
    needs: tuple[str, ...]
    make: Callable[[Callable[[str], None]], Arrays]

    @property
    def unit(self) -> Unit:
        """The comparison as a unit of work; with other runs it is another unit."""
        return Unit(unit_name(self.title, self.needs), self.title, needs=self.needs)

    @property
    def is_done(self) -> bool:
        """Whether the file is whole, and that of these runs."""
        return is_whole(self.file) and read_members(self.file, (MADE_OF,)).get(MADE_OF) == (
            self.unit.name
        )


def last_numbers(name: str, record: Arrays) -> str:
    """A run in a line: every number that was recorded at all epochs, as it was at the last."""
    epochs = record["epoch"].shape
    texts = [
        f"{key} {values[-1]:.4g}"
        for key, values in record.items()
        if key != "epoch" and values.shape == epochs and values.dtype.kind in "biuf"
    ]
    return f"{name}: {', '.join(texts)}"


def last_rates(name: str, record: Arrays) -> str:
    """A run in a line: its rates and active units at the last epoch, or that it failed."""
    if record["failed"].any():
        return f"{name}: failed, the loss became NaN or infinite"
    reconstruction, kl = float(record["reconstruction"][-1]), float(record["kl"][-1])
    active = int(record["active_units"][-1].sum())
    return f"{name}: reconstruction {reconstruction:.1f}, KL {kl:.1f} nats, {active} active units"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """Runs, when and how they are measured, and what is made of all of them.

    Attributes:
        out: the folder.
        runs: by name, which is a path below OUT/runs.
        epochs: at which they are measured, ascending; 0 is before training.
        measure: what is recorded of a model at every epoch, and what at the last epoch alone; of
            one whose loss was not finite (`Trained.stopped`) NaN in arrays of the same shape.
        load: the data of a run; called often.
        describe: a line about a finished run, from its name and its record.
        seconds: how long it takes to measure a model of a run at one epoch, roughly.
        replicate: whether the last epoch of every run is trained twice, the second time with
            other batches.
        afterwards: what is made of many runs.
        members: runs in a unit, at most; None for as many as fit.
        mesh: devices that share the runs of a unit; None for the default device.
        command: command that asked for it, as it was typed; kept of every unit that is done for it.
    """

    out: Path
    runs: Mapping[str, RunConfig]
    epochs: tuple[int, ...]
    measure: Callable[[Trained], tuple[Arrays, Arrays]]
    load: Callable[[RunConfig], Dataset] = dataset_of
    describe: Callable[[str, Arrays], str] = last_numbers
    seconds: Callable[[RunConfig, VAE | HVAE, Dataset], float] = lambda *_: 0.0
    replicate: bool = False
    afterwards: Sequence[Afterwards] = ()
    members: int | None = None
    mesh: Mesh | None = None
    command: str = ""

    def image_shape(self, config: RunConfig) -> ImageShape:
        """The shape of the images of a run."""
        height, width, channels = self.load(config).train.images.shape[1:]
        return height, width, channels

    @cached_property
    def units(self) -> list[Unit]:
        """All there is to do, in an order that depends on the settings alone."""
        trained = units_of(self.runs, cache(self.image_shape), members=self.members)
        return [*trained, *(each.unit for each in self.afterwards)]

    def is_done(self, unit: Unit) -> bool:
        """Whether nothing of a unit is lacking, nor anything left that it needed on the way."""
        return unit.name not in self._under_way() and self._is_made(unit)

    def unfinished(self) -> list[Unit]:
        """The units that are not done."""
        under_way = self._under_way()
        if not (under_way or self.missing()) and all(each.is_done for each in self.afterwards):
            # Without a look at the data, on which the units depend.
            return []
        return [unit for unit in self.units if unit.name in under_way or not self._is_made(unit)]

    def lacks(self, unit: Unit) -> bool:
        """Whether something that a unit needs is not done."""
        return len(done_runs(self.out, unit.needs)) < len(unit.needs)

    def missing(self) -> list[str]:
        """The names of the runs that are not done, without a look at the data."""
        done = done_runs(self.out, self.runs)
        return [name for name in self.runs if name not in done]

    def _is_made(self, unit: Unit) -> bool:
        if unit.needs:
            return any(each.is_done for each in self.afterwards if each.unit == unit)
        return len(done_runs(self.out, unit.runs)) == len(unit.runs)

    def _under_way(self) -> set[str]:
        """The names of units that were begun and not brought to their end."""
        folders = (self.out / UNITS).glob(f"*/{RESUME}")
        return {folder.parent.name.partition(PART)[0] for folder in folders}
