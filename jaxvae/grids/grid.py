"""A grid: settings of which some have several values, and the runs of all their combinations."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxvae.runs.config import RunConfig, word

# Dimensions of records besides settings.
_RESERVED = ("seed", "epoch", "layer", "other_layer", "latent_layer", "missing")
# Letters of a name, which is that of a file.
_LONGEST = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """Runs of all combinations of some values of some settings, with every seed.

    Attributes:
        run: the settings that all runs share, by the names of `RunConfig`.
        settings: those that a run has in its name, as `RunConfig` has them; one of a coefficient
            or an option as `coefficients.beta`.
        values: what each of them may be, by the same name.
        seeds: seeds of every combination.
        snapshots: epochs that are measured, evenly spaced up to the last.
        points: distinct held-out images that the geometry of layers is measured on, or all that
            are distinct; 0 for none of it.
    """

    run: Mapping[str, Any]
    settings: tuple[str, ...]
    values: Mapping[str, tuple[Any, ...]]
    seeds: tuple[int, ...]
    snapshots: int
    points: int

    def __post_init__(self) -> None:
        words = [*map(label, self.settings), *_RESERVED]
        twice = sorted({word for word in words if words.count(word) > 1})
        if twice:
            raise ValueError(f"expected settings of different names, got several {twice[0]}")

    @property
    def varying(self) -> dict[str, tuple[Any, ...]]:
        """The labels of the settings that have several values, and these."""
        return {label(name): each for name, each in self.values.items() if len(each) > 1}

    @property
    def epochs(self) -> int:
        """Passes over the training images."""
        return int(self.run["epochs"])


def label(setting: str) -> str:
    """A setting in names, tables and records: `beta` for `coefficients.beta`."""
    return setting.rpartition(".")[2]


def coordinate(values: Sequence[Any]) -> list[Any]:
    """Values of a setting as they are on an axis: numbers, or the words for them."""
    return [*values] if are_numbers(values) else [*map(word, values)]


def runs_of(grid: Grid) -> dict[str, RunConfig]:
    """All runs by name, in the order of the settings, the last one changing first; then seeds.

    Raises:
        ValueError: for settings that make no sense, and names that are too long for files.
    """
    runs = {}
    for values in itertools.product(*grid.values.values()):
        settings = _settings(grid, dict(zip(grid.values, values, strict=True)))
        for seed in grid.seeds:
            runs[_name(grid, values, seed)] = RunConfig(**settings, seed=seed)
    longest = max(runs, key=len)
    if len(longest.encode()) > _LONGEST:
        raise ValueError(
            f"expected runs whose names have at most {_LONGEST} letters, got {longest}; "
            "let fewer settings vary"
        )
    return runs


def ordered(values: Sequence[Any]) -> tuple[Any, ...]:
    """Values without repetitions: numbers ascending, others as they were given."""
    distinct = tuple({word(value): value for value in values}.values())
    return tuple(sorted(distinct)) if are_numbers(distinct) else distinct


def are_numbers(values: Sequence[Any]) -> bool:
    """Whether values can be put on an axis."""
    return all(type(value) in (int, float) and math.isfinite(value) for value in values)


def setting_of(config: RunConfig, setting: str) -> Any:
    """The value of a setting, as a `Grid` names it."""
    field, _, name = setting.partition(".")
    value = getattr(config, field)
    return value[name] if name else value


def shared_settings(config: RunConfig, settings: Sequence[str]) -> dict[str, Any]:
    """All settings of a run but some, as a `Grid` names them, and the seed."""
    shared = dataclasses.asdict(config)
    for field, name in _parted([*settings, "seed"]):
        (shared[field] if name else shared).pop(name or field)
    return shared


def _settings(grid: Grid, values: Mapping[str, Any]) -> dict[str, Any]:
    settings = {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in grid.run.items()
    }
    for (field, name), value in zip(_parted(values), values.values(), strict=True):
        (settings[field] if name else settings)[name or field] = value
    return settings


def _parted(settings: Sequence[str] | Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for setting in settings:
        field, _, name = setting.partition(".")
        yield field, name


def _name(grid: Grid, values: Sequence[Any], seed: int) -> str:
    pairs = zip(map(label, grid.settings), map(word, values), strict=True)
    parts = [f"{name.replace('_', '-')}-{value}" for name, value in (*pairs, ("seed", str(seed)))]
    return "_".join(parts).replace("/", "--")
