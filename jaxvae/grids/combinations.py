"""The combinations of settings of a grid, in words and in colors."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.colors import to_hex

from jaxvae.report.style import ordered_colors
from jaxvae.report.traces import evenly
from jaxvae.runs.config import word


def combinations(
    varying: Mapping[str, Sequence[Any]],
) -> Iterator[tuple[dict[str, str], dict[str, int]]]:
    """Every combination of values of some settings: in words, and where it is in records."""
    for indices in itertools.product(*(range(len(each)) for each in varying.values())):
        where = dict(zip(varying, indices, strict=True))
        yield {name: word(varying[name][index]) for name, index in where.items()}, where


def assigned(words: Mapping[str, str]) -> str:
    """Settings and their values, in words."""
    return ", ".join(f"{name} = {each}" for name, each in words.items())


def colored(
    varying: Mapping[str, Sequence[Any]], most: int | None = None
) -> Iterator[tuple[str, str, dict[str, int]]]:
    """The label, color and place of every combination, or of so many of them, evenly chosen."""
    every = [*combinations(varying)]
    chosen = every if most is None else evenly(every, most)
    for (words, where), color in zip(chosen, ordered_colors(len(chosen)), strict=True):
        yield assigned(words) or "all runs", to_hex(color), where
