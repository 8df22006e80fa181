"""How often equal cells of a grid are told apart, and bounds and models are wrongly accused.

7 x 7 cells, of several seeds and 100 test images. The unit is the error that the images leave in
the mean of a cell; all cells share how hard an image is, and what their seed begins with.
"""

from itertools import product
from typing import Any, NamedTuple

import numpy as np

from benchmarks.error_rates.tables import rows_by
from jaxvae.analysis import Estimate, above_bound, compare_cells, suspect_cells
from jaxvae.metrics import information_for_accuracy
from jaxvae.report.tables import markdown_table

SEEDS = (1, 2, 3, 5, 8)
TRAINING = (1, 2, 3)
CELLS, IMAGES = 49, 100


class Truth(NamedTuple):
    """How much better the first cell is, and what training does, relative to the given deviation.

    Attributes:
        gap: by how much it is better.
        own: deviations of what training changes in one cell.
        moved: deviations of what a seed changes in all cells together, by cell.
        lost: what the first cell loses in a fifth of its trainings; it gains as much in the mean.
    """

    gap: float = 0.0
    own: np.ndarray = np.ones(CELLS)
    moved: np.ndarray = np.zeros(CELLS)
    lost: float = 0.0


FAILING, FAILED = "no difference, one cell fails sometimes", 0.2
_NEARLY_NONE = np.full(CELLS, 0.1)
TRUTHS = {
    "no difference": Truth(),
    "no difference, training unequal": Truth(own=np.geomspace(0.5, 2.0, CELLS)),
    "no difference, few noisy cells": Truth(own=np.where(np.arange(CELLS) < 7, 6.0, 1.0)),
    "no difference, half moved": Truth(own=_NEARLY_NONE, moved=2.0 * (np.arange(CELLS) < 24)),
    "no difference, slope moved": Truth(own=_NEARLY_NONE, moved=np.linspace(-2, 2, CELLS)),
    "one cell better by 10": Truth(10.0),
    "one cell better by 20": Truth(20.0),
    FAILING: Truth(lost=30.0),
}
CLASSIFIERS, POINTS, LABELS = 400, 1000, np.full(10, 0.1)
BOUNDS, SUSPECTS = "accuracies at their bounds", "models that cost the same"
TEXT = """## Which cells of a grid are best

`python -m experiments.rate_allocation` names the cells that cannot be told from the best one
(`jaxvae.analysis.compare_cells`): differences are paired by image and by seed, their limits
include the spread between trainings, and the studentized range controls the error of all pairs of
cells together. `jaxvae sweep` says in the same way which settings cannot be told from that of the
lowest negative ELBO, by one number of every run, without the spread over images.

The table is of simulated grids of 7 x 7 cells. The unit is the standard error of the score of a
cell over test images; the standard deviation between two trainings of the same cell is 1, 2 or 3
units. "Training unequal": this deviation grows over the cells, from half to twice its value. "Few
noisy cells": it is six times as large in 7 of the cells. "Half moved": a seed moves half of the
cells together, with twice this deviation, and training changes little besides. "Slope moved": a
seed tilts the grid, by twice this deviation at its ends. "One cell fails sometimes": in a fifth of
its trainings one cell loses 30 deviations; in the others it is better than the rest, so that its
mean over all trainings is theirs. Where all cells are equally good, an entry is the percentage of
grids in which some cell is wrongly called worse than another. Where one cell is better than all
others, by 10 or 20 units, an entry gives the percentage of grids in which this cell alone is left /
the percentage in which it is wrongly left out.

{table}

With one seed no cell is ever called worse than another, and two seeds decide next to nothing: they
cannot show whether a seed changes all cells in one pattern. Where trainings are normal, a cell is
wrongly called worse in at most {wrong:.1f}% of grids. Where one cell fails sometimes that is up to
{failing:.1f}%: of failures that no seed has shown a comparison knows nothing, and calls this cell
better, as it is in the trainings that were seen. None of 3, 5 or 8 seeds shows them in
{unseen} of grids; with three, differences are rarely decided even so.

Two more conclusions are simulated. Of {classifiers} classifiers that are exactly as accurate as
their information allows, which is known with a standard error of .05 nats, some classifier is
wrongly said to be above its bound in {broken:.1f}% of grids (`above_bound`). Of 49 models that have
the same loss at all betas, except for the chance of 100 images, some model is wrongly called
suspect in {suspect:.1f}% of grids (`suspect_cells`).
"""


class Case(NamedTuple):
    """A truth, the number of seeds, and the deviation of training."""

    truth: str
    seeds: int = 1
    training: int = 1


CASES = [Case(*case) for case in product(TRUTHS, SEEDS, TRAINING)] + [Case(BOUNDS), Case(SUSPECTS)]


def grid(case: Case, random: np.random.Generator) -> np.ndarray:
    """Scores `[cells, seeds, images]` of one grid."""
    gap, *deviations, lost = TRUTHS[case.truth]
    own, moved = (case.training * each[:, None, None] for each in deviations)
    seen = IMAGES**0.5 * random.standard_normal((CELLS, 1, IMAGES))
    trained = own * random.standard_normal((CELLS, case.seeds, 1))
    trained += moved * random.standard_normal((case.seeds, 1))
    difficulty = 5 * IMAGES**0.5 * random.standard_normal(IMAGES)
    begun = 3 * random.standard_normal((case.seeds, 1))
    values = seen + trained + difficulty + begun
    values[0] += gap
    if lost:
        failed = random.random((case.seeds, 1)) < FAILED
        values[0] += case.training * lost * (FAILED - failed)
    return values


def rates(case: Case, *, grids: int) -> dict[str, Any]:
    """Shares of grids with a wrong conclusion, and with the first cell as the only best one."""
    random, wrong, is_alone = np.random.default_rng(CASES.index(case)), 0, 0
    for _ in range(grids):
        if case.truth == BOUNDS:
            wrong += some_bound_is_broken(random)
        elif case.truth == SUSPECTS:
            wrong += some_model_is_suspect(random)
        else:
            candidates = compare_cells(grid(case, random)).candidates
            better = TRUTHS[case.truth].gap > 0
            wrong += not (candidates[0] if better else candidates.all())
            is_alone += bool(candidates[0] and candidates.sum() == 1)
    return {**case._asdict(), "wrong": wrong / grids, "alone": is_alone / grids}


def some_bound_is_broken(random: np.random.Generator) -> bool:
    """Whether some of many accuracies that are equal to their bound is called larger."""
    accuracy, error = random.uniform(0.12, 0.9, CLASSIFIERS), 0.05
    known = np.asarray(information_for_accuracy(accuracy, LABELS), np.float64)
    measured = known + error * random.standard_normal(CLASSIFIERS)
    information = Estimate(measured, np.full(CLASSIFIERS, error))
    hits = random.binomial(POINTS, accuracy).astype(float)
    return bool(above_bound(hits, information, LABELS, n=POINTS).any())


def some_model_is_suspect(random: np.random.Generator) -> bool:
    """Whether some of many models that have the same loss at all betas is called suspect."""
    betas = np.array(list(product(np.geomspace(0.1, 10, 7), repeat=2)))
    nats = 30 * random.standard_normal((CELLS, IMAGES, 3))
    return bool(suspect_cells(betas, nats[..., 1:], nats[..., 0]).any())


def _entry(record: dict[str, Any]) -> str:
    wrong = f"{100 * record['wrong']:.1f}"
    return f"{100 * record['alone']:.0f} / {wrong}" if TRUTHS[record["truth"]].gap else wrong


def records(grids: int) -> list[dict[str, Any]]:
    """Simulate grids for all cases."""
    return [rates(case, grids=grids) for case in CASES]


def section(found: list[dict[str, Any]]) -> str:
    """The section of docs/statistics.md."""
    grids = [record for record in found if record["truth"] in TRUTHS]
    rows = rows_by(grids, ("truth", "seeds"), "training", _entry)
    by_truth: dict[str, float] = {}
    for record in found:
        truth, wrong = record["truth"], 100 * record["wrong"]
        by_truth[truth] = max(by_truth.get(truth, 0.0), wrong)
    return TEXT.format(
        table=markdown_table(rows, left=["truth"]),
        wrong=max(by_truth[truth] for truth in TRUTHS if truth != FAILING),
        failing=by_truth[FAILING],
        unseen="{:.0%}, {:.0%} or {:.0%}".format(*((1 - FAILED) ** s for s in (3, 5, 8))),
        classifiers=CLASSIFIERS,
        broken=by_truth[BOUNDS],
        suspect=by_truth[SUSPECTS],
    )
