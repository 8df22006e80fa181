"""An experiment as its module defines it, and a sweep of it as other processes are told of it."""

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from jaxvae.sweeps.sweep import Sweep


class Experiment(NamedTuple):
    """The functions of an experiment that is done as a sweep.

    Attributes:
        sweep: from its configuration and its folder.
        report: `report(config, sweep, console)` merges and draws what is done.
        check: refuses what would fail after training; loads the data.
        extendable: settings that only say which runs there are, and may change between
            commands with one folder.
    """

    sweep: Callable[[Any, Path], Sweep]
    report: Callable[[Any, Sweep, Console], None]
    check: Callable[[Any], None] = lambda config: None
    extendable: tuple[str, ...] = ()


def imported_when_called(name: str) -> Callable[..., Any]:
    """The function `module:name`, such as one that draws, which processes that train never do."""

    def call(*given: Any) -> Any:
        return _named(name)(*given)

    return call


class Job(NamedTuple):
    """A sweep as other processes are told of it.

    Attributes:
        experiment: `module:name` of an `Experiment`.
        config: its configuration, a frozen dataclass.
        out: the folder, absolute.
        members: runs in a unit, at most; None for as many as fit.
        command: as it was typed.
    """

    experiment: str
    config: Any
    out: Path
    members: int | None = None
    command: str = ""

    def open(self) -> tuple[Experiment, Sweep]:
        """The experiment and its sweep."""
        experiment: Experiment = _named(self.experiment)
        sweep = experiment.sweep(self.config, self.out)
        return experiment, dataclasses.replace(sweep, members=self.members, command=self.command)


def _named(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
