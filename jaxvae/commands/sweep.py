"""`jaxvae sweep`: all combinations of some settings of `jaxvae train`, as one sweep."""

import argparse
import dataclasses
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from jaxvae.commands.arguments.launch import take_launch
from jaxvae.commands.arguments.sweep import NOTATION
from jaxvae.commands.flags import flags_named
from jaxvae.commands.settings import LONG_NAMES, given_config, read_pairs
from jaxvae.grids.grid import Grid, ordered, setting_of, shared_settings
from jaxvae.grids.sweep import SWEEP
from jaxvae.runs.config import RunConfig
from jaxvae.sweeps.job import Job
from jaxvae.sweeps.launch import run

_PAIRS = {
    "option": "options",
    "likelihood_option": "likelihood_options",
    "coefficient": "coefficients",
    "ramp": "ramps",
}
# These settings are in names and records even where they have one value, so that others may be
# added later.
_ALWAYS = ("latents", "coefficients.")


def main(arguments: argparse.Namespace, console: Console, errors: Console) -> None:
    """Do the sweep as it was asked for."""
    launch = take_launch(arguments)
    with flags_named(LONG_NAMES):
        grid, out = given_grid(arguments), arguments.out.absolute()
        job = Job(SWEEP, grid, out, launch.members, arguments.line)
        run(job, launch, console)


def given_grid(arguments: argparse.Namespace) -> Grid:
    """The grid that was given.

    Every value is read as `jaxvae train` reads it.

    Raises:
        ValueError: for settings that cannot be read, or make no sense.
    """
    words = _values(arguments)
    first = {setting: each[0] for setting, each in words.items()}
    values = {
        setting: ordered(
            [setting_of(_config(arguments, {**first, setting: one}), setting) for one in each]
        )
        for setting, each in words.items()
    }
    named = {
        setting: each
        for setting, each in values.items()
        if len(each) > 1 or setting.startswith(_ALWAYS)
    }
    return Grid(
        run=shared_settings(_config(arguments, first), [*named]),
        settings=tuple(named),
        values=named,
        seeds=arguments.seeds,
        snapshots=arguments.snapshots,
        points=arguments.points,
    )


def _values(arguments: argparse.Namespace) -> dict[str, tuple[Any, ...]]:
    """The values of every setting, those of pairs as `jaxvae train` is told them."""
    # In the order of the settings, whatever that of the words: runs are named by it.
    names = (field.name for field in dataclasses.fields(RunConfig))
    values = {
        name: vars(arguments)[name]
        for name in names
        if isinstance(vars(arguments).get(name), tuple)
    }
    for flag, field in _PAIRS.items():
        pairs = read_pairs(f"--{flag.replace('_', '-')}", getattr(arguments, flag), _several)
        values |= {f"{field}.{name}": each for name, each in pairs.items()}
    return values


def _several(_: str, text: str) -> tuple[str, ...]:
    """The values of a pair, between which there are commas."""
    return tuple(value.replace(NOTATION.between, ",") for value in text.split(","))


def _config(arguments: argparse.Namespace, values: Mapping[str, Any]) -> Any:
    """The run of one value of every setting."""
    settings = {**vars(arguments), "seed": arguments.seeds[0]}
    settings |= {name: value for name, value in values.items() if "." not in name}
    for flag, field in _PAIRS.items():
        settings[flag] = [
            f"{name.removeprefix(f'{field}.')}={value}"
            for name, value in values.items()
            if name.startswith(f"{field}.")
        ]
    return given_config(argparse.Namespace(**settings))
