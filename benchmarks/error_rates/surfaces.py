"""How often the region of the best split of a rate leaves out the best cell.

Planes of rates are drawn with a known surface. Expected: a best cell is left out in at most 5% of
every row of a quadratic surface.
"""

from itertools import product
from typing import Any, NamedTuple

import numpy as np

from benchmarks.error_rates.tables import rows_by
from jaxvae.analysis.response_surface import best_region
from jaxvae.report.tables import markdown_table

TEXT = """## Where a rate is best split

`jaxvae advise` fits a quadratic response surface to the scores of a grid of betas, as a function of
the rates, and says which cells may be the best ones
(`jaxvae.analysis.response_surface.best_region`).

The table is of simulated grids of 5 x 5 cells, with rates from 2 to 100 nats in both halves of the
layers, which vary by 5% between seeds. The truth is a paraboloid in log(1 + R) that falls by 1 at a
distance of 1, with its top inside of the grid, at an edge or far outside; a ridge along which
nothing changes; or the same score everywhere. Three more are no quadratic functions: a cone; a
score that rises with one rate, levels off and then falls slowly; and one to which a layer adds
nothing below 6 nats. An effect of every seed with a standard deviation of 1, the same in all cells,
and independent noise of the given standard deviation are added to it. "Slope moved": a seed also
tilts the grid, with a standard deviation of 1 at its ends. "Half moved": a seed also moves half of
the cells together, with the same deviation. "49 cells": a grid of 7 x 7. A region is decided if the
scores fit the surface (an F test of the cells around it with a p of .05 or more, and one of cubic
terms with .2 or more) and at least one cell is left out. An entry gives the percentage of grids in
which the region is decided and a best cell is left out, which is an error / the percentage in
which the region is decided; then the mean share of cells in the region. Where the score is the same
everywhere, every region that is decided is an error. With less noise the F test refuses more
surfaces, so that fewer grids are decided.

{table}

Two seeds decide large differences only: they cannot show whether a seed tilts the grid. A best cell
is left out in {worst:.1f}% of the grids of the worst entry of a quadratic function, and in
{other:.1f}% of those of the worst entry of another function, which the tests do not always
recognize. The best cell that is left is then worse by {short:.1f} in the mean, of a range of
{range:.0f} that scores have.
"""
_AXIS = np.log1p([2.0, 6.0, 15.0, 40.0, 100.0])


def _grid(axis: np.ndarray) -> np.ndarray:
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)


_LOGS = _grid(_AXIS)
_FINER = _grid(np.linspace(_AXIS[0], _AXIS[-1], 7))


def _squared(top: float, bottom: float) -> np.ndarray:
    return np.sum((_LOGS - [top, bottom]) ** 2, axis=1)


def _levels_off() -> np.ndarray:
    x, y = _LOGS.T - np.array([[1.1], [2.4]])
    return 3 * (1 - np.exp(-3 * x)) - 0.25 * x - 0.15 * y**2


def _nothing_below() -> np.ndarray:
    x, y = _LOGS.T
    return np.where(np.expm1(x) < 5.9, 0.0, 3 - 0.3 * (x - np.log1p(6.0))) - 0.15 * (y - 2.4) ** 2


class Truth(NamedTuple):
    """A grid of which the scores are known.

    Attributes:
        scores: score of every cell.
        moved: deviation of what a seed changes in all cells together, by cell, besides a constant.
        logs: log(1 + R) of both rates of every cell.
        is_quadratic: whether scores are a quadratic function of them.
    """

    scores: np.ndarray
    moved: np.ndarray = np.zeros(len(_LOGS))
    logs: np.ndarray = _LOGS
    is_quadratic: bool = True


_RIDGE, _SAME = -((_LOGS.sum(axis=1) - 6.0) ** 2), np.zeros(len(_LOGS))
_SLOPE, _HALF = np.linspace(-1, 1, len(_LOGS)), 1.0 * (np.arange(len(_LOGS)) < len(_LOGS) // 2)
TRUTHS: dict[str, Truth] = {
    "top inside": Truth(-_squared(3.0, 2.4)),
    "top at an edge": Truth(-_squared(4.6, 3.0)),
    "top far outside": Truth(-_squared(8.0, 6.0)),
    "a ridge": Truth(_RIDGE),
    "a cone": Truth(-2 * np.sqrt(_squared(3.0, 2.4)), is_quadratic=False),
    "the same everywhere": Truth(_SAME),
    "levels off": Truth(_levels_off(), is_quadratic=False),
    "nothing below 6 nats": Truth(_nothing_below(), is_quadratic=False),
    "top inside, slope moved": Truth(-_squared(3.0, 2.4), _SLOPE),
    "a ridge, slope moved": Truth(_RIDGE, _SLOPE),
    "the same everywhere, slope moved": Truth(_SAME, _SLOPE),
    "the same everywhere, half moved": Truth(_SAME, _HALF),
    "the same everywhere, slope moved, 49 cells": Truth(
        np.zeros(len(_FINER)), np.linspace(-1, 1, len(_FINER)), _FINER
    ),
}
SEEDS = (2, 3, 4, 5, 8)
NOISE = (0.1, 0.3, 1.0)


def rates(name: str, *, seeds: int, noise: float, planes: int) -> dict[str, Any]:
    """Shares of planes by what is said of them."""
    random = np.random.default_rng((list(TRUTHS).index(name), seeds, round(100 * noise)))
    truth = TRUTHS[name]
    best = truth.scores == truth.scores.max()
    counts, short = np.zeros(3), []
    for _ in range(planes):
        scores = truth.scores[:, None] + random.standard_normal(seeds)
        scores = scores + truth.moved[:, None] * random.standard_normal(seeds)
        scores = scores + noise * random.standard_normal(scores.shape)
        scatter = np.exp(0.05 * random.standard_normal((*scores.shape, 2)))
        region = best_region(np.expm1(truth.logs)[:, None] * scatter, scores)
        missed = region.is_decided and not region.candidates[best].all()
        counts += (missed, region.is_decided, region.candidates.mean())
        short += [truth.scores.max() - truth.scores[region.candidates].max()] if missed else []
    wrong, decided, left = (counts / planes).tolist()
    return {
        "truth": name,
        "seeds": seeds,
        "noise": noise,
        "wrong": wrong,
        "decided": decided,
        "left": left,
        "short": float(np.mean(short)) if short else 0.0,
    }


def records(planes: int) -> list[dict[str, Any]]:
    """Simulate grids for all truths, numbers of seeds and noises."""
    return [
        rates(name, seeds=seeds, noise=noise, planes=planes)
        for name, seeds, noise in product(TRUTHS, SEEDS, NOISE)
    ]


def _entry(record: dict[str, Any]) -> str:
    wrong, decided, left = (100 * record[name] for name in ("wrong", "decided", "left"))
    return f"{wrong:.1f} / {decided:.0f}; {left:.0f}%"


def section(records: list[dict[str, Any]]) -> str:
    """The section of docs/statistics.md."""
    rows = rows_by(records, ("truth", "seeds"), "noise", _entry)
    worst = 100 * max(one["wrong"] for one in records if TRUTHS[one["truth"]].is_quadratic)
    others = [one for one in records if not TRUTHS[one["truth"]].is_quadratic]
    other = max(others, key=lambda one: one["wrong"])
    return TEXT.format(
        table=markdown_table(rows, left=["truth"]),
        worst=worst,
        other=100 * other["wrong"],
        short=other["short"],
        range=np.ptp(TRUTHS[other["truth"]].scores),
    )
