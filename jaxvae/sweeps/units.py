"""The runs of a sweep as units of work: models that share a program, as many as fit together.

Which units there are depends on the settings alone, so that every process and machine that is
given the same settings has the same units, whatever lies in the folder.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax

from jaxvae.memory import GIBIBYTE
from jaxvae.runs.building import build_trainer, given_coefficients, key_of, run_keys
from jaxvae.runs.config import RunConfig, word
from jaxvae.runs.sweep_run import latents_of, model_of, program_of
from jaxvae.training import Member, Trainer, group_members
from jaxvae.training.memory import tree_bytes
from jaxvae.typing import ImageShape

# A unit is at most so many models, and at most so many bytes of training state: what fits
# the smallest devices that people train on, beside a batch and the images.
MOST_MEMBERS, _MOST_BYTES = 64, 4 * GIBIBYTE
_NAME_DIGITS = 12


class Unit(NamedTuple):
    """A piece of work that one process does from its beginning to its end.

    Attributes:
        name: name of its folder: a hash of all that it depends on.
        title: what it is, in words.
        runs: names of the runs that it trains in one program; none for other work.
        latents: number of latents of the arrays that hold the bottleneck of every run.
        bytes: bytes of the parameters and the optimizer of all its runs.
        needs: names of the runs that have to be done before it.
    """

    name: str
    title: str
    runs: tuple[str, ...] = ()
    latents: int = 0
    bytes: int = 0
    needs: tuple[str, ...] = ()


class _Sized(NamedTuple):
    """A run by the size of its bottleneck, as `group_members` wants it."""

    name: str
    latents: int


def units_of(
    runs: Mapping[str, RunConfig],
    shape_of: Callable[[RunConfig], ImageShape],
    *,
    members: int | None = None,
) -> list[Unit]:
    """The units of some runs, in the order of the runs.

    Runs that differ in seed, bottleneck size, coefficients and learning rate alone share a
    program, if no model is padded to more than twice its parameters.

    Args:
        runs: by name.
        shape_of: function that gives the shape of the images of a run.
        members: runs in a unit, at most; None for as many as 4 GiB of parameters and
            optimizer hold, at most 64.
    """
    programs: dict[RunConfig, list[str]] = {}
    for name, config in runs.items():
        programs.setdefault(program_of(config, 1), []).append(name)
    varying = _varying(runs.values())
    return [
        unit
        for names in programs.values()
        for unit in _units({name: runs[name] for name in names}, shape_of, members, varying)
    ]


def unit_name(*parts: Any) -> str:
    """The name of what depends on these parts, which JSON can write, alone."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:_NAME_DIGITS]


def is_unit_name(name: str) -> bool:
    """Whether a name is one that `unit_name` may give."""
    return re.fullmatch(f"[0-9a-f]{{{_NAME_DIGITS}}}", name) is not None


def member_of(config: RunConfig, latents: int) -> Member:
    """A run as the member of an ensemble, with the key of `jaxvae train`.

    Args:
        config: configuration of the run.
        latents: number of latents of the model that is built from it.
    """
    return Member(run_keys(config)[0], latents, given_coefficients(config), config.learning_rate)


@cache
def trainer_of(program: RunConfig, image_shape: ImageShape, dataset_size: int) -> Trainer:
    """The trainer of a program: one object, so that what is compiled for it is found again."""
    return build_trainer(program, model_of(program, image_shape), dataset_size=dataset_size)


def _units(
    runs: Mapping[str, RunConfig],
    shape_of: Callable[[RunConfig], ImageShape],
    most: int | None,
    varying: Collection[str],
) -> Iterable[Unit]:
    """The units of the runs of one program."""
    first = next(iter(runs.values()))
    image_shape = shape_of(first)

    @cache
    def bytes_of(latents: int) -> int:
        # The size of the data set changes no shape.
        trainer = trainer_of(program_of(first, latents), image_shape, 2)
        return tree_bytes(jax.eval_shape(trainer.init, key_of(0)))

    sized = [_Sized(name, latents_of(config, image_shape)) for name, config in runs.items()]
    for group in group_members(sized, size_of=bytes_of):
        latents = max(run.latents for run in group)
        count = most or max(1, min(MOST_MEMBERS, _MOST_BYTES // bytes_of(latents)))
        for at in range(0, len(group), count):
            names = tuple(run.name for run in group[at : at + count])
            configs = [runs[name] for name in names]
            settings = [dataclasses.asdict(config) for config in configs]
            yield Unit(
                unit_name(names, settings, latents, image_shape),
                _title(configs, varying),
                names,
                latents,
                bytes_of(latents) * len(names),
            )


def _title(configs: Sequence[RunConfig], varying: Collection[str]) -> str:
    """A title of some runs: what they share, and the settings in which those of a sweep differ."""
    first, settings = configs[0], [*map(_settings, configs)]
    texts = [
        f"{name} {_listed([each[name] for each in settings])}"
        for name, value in settings[0].items()
        if value is not None and (name in varying or name in ("latents", "seed"))
    ]
    return f"{first.network} on {first.data}, {first.objective}: {'; '.join(texts)}"


def _varying(configs: Iterable[RunConfig]) -> set[str]:
    """The settings, as `_settings` names them, in which runs differ, or which some of them lack."""
    settings = [*map(_settings, configs)]
    names = {name for each in settings for name in each}
    return {name for name in names if len({word(each.get(name)) for each in settings}) > 1}


def _settings(config: RunConfig) -> dict[str, Any]:
    """The settings of a run that its title does not begin with, by their names there."""
    settings: dict[str, Any] = {}
    for field, value in dataclasses.asdict(config).items():
        if isinstance(value, Mapping):
            start = "ramp of " if field == "ramps" else ""
            settings |= {f"{start}{name}": each for name, each in value.items()}
        elif field not in ("network", "data", "objective"):
            settings[field.replace("_", " ")] = value
    return settings


def _listed(values: Sequence[Any], most: int = 4) -> str:
    """Different values, numbers ascending."""
    numbers = all(isinstance(value, int | float) for value in values)
    words = [*dict.fromkeys(word(each, "/") for each in (sorted(values) if numbers else values))]
    if len(words) > most:
        words = [*words[: most - 1], "...", words[-1]]
    return ", ".join(words)
