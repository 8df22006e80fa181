"""Which of many models cannot be told from the best, as trainings and test examples vary."""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxvae.analysis.spread import chance_of_alike, freedom_of_sums, spread_of
from jaxvae.files.refusals import refuse_no_share
from jaxvae.geometry.arrays import as_float64

# p below this means that trainings of some cells vary more than those of others.
_UNLIKE = 0.2


class Comparison(NamedTuple):
    """Scores of cells over several trainings, and which cells may be the best.

    Attributes:
        mean: mean of every cell, over seeds and examples.
        stderr: its standard error, over trainings and examples; NaN with one seed, since the
            spread over trainings is unknown then.
        candidates: the cells that cannot be told from the best: no other is clearly better.
            With one seed all of them.
    """

    mean: Float[np.ndarray, " m"]
    stderr: Float[np.ndarray, " m"]
    candidates: Bool[np.ndarray, " m"]


def compare_cells(values: Float[np.ndarray, "m s n"], *, error: float = 0.05) -> Comparison:
    """The cells of a grid that cannot be told from the best one.

    A cell is a setting, its score the mean of `values` over seeds and examples; large is good.
    One cell is clearly better than another where the difference of their scores exceeds
    `q / sqrt(2)` of its standard errors, with q the quantile `1 - error` of the studentized
    range of m means with (m - 1)(s - 1) degrees of freedom, or n - 1 if fewer (Tukey), or those
    of Welch where a cell's own variance counts (Games and Howell). So of all pairs of cells
    together one is wrongly told apart in at most the share `error` of such grids,
    and a cell that is left out is truly worse than another.

    Differences are paired. The model is additive: a value is that of the cell, plus that of
    the seed (the same seed begins alike in all cells), plus that of the training, plus that of
    the example, which is the same in all cells. (Where a seed has other effects in other cells,
    as in one half of a grid and not in the other, equal cells are told apart in up to 20% of grids
    of two seeds, and in 5% to 7% with five.) The squared error of a difference adds

    - the variance of the training over s, of both cells: what the means over examples leave
      when those of cells and seeds are taken off. It is pooled over cells, because few seeds
      tell little of one cell; where the own variance of a cell is the larger, that one counts, with
      s - 1 degrees of freedom. Where cells do not vary alike (Cochran 1941, p < .2), a cell that
      varies much may not show it in few seeds: all variances have s - 1 degrees then;
    - the variance over examples of the difference of both cells, averaged over seeds, over n.

    For normal trainings of one variance, and unequal errors of differences, the limit is
    conservative (Hayter 1984); it takes some hundreds of examples. Simulated, also for trainings
    of very different variance: `docs/statistics.md`.

    Args:
        values: scores of every cell, seed and example. Examples are the same in all cells; of the
            same seed, at least.
        error: share of grids in which two equal cells may be told apart.

    Returns:
        `Comparison`. With one seed nothing is decided. Equal values are never told apart, and
        different ones without any spread are.

    Raises:
        ValueError: for values that are not `[m, s, n]` with n of at least 2, have a mask or are
            not finite, and an error that is not between 0 and 1.

    Reference: Cochran (1941); Tukey (1953); Kramer (1956); Games and Howell (1976); Hayter (1984);
        Hsu (1984) for the set of the best.
    """
    values = as_float64(values)
    _refuse_unless_comparable(values, error)
    cells, seeds, _ = values.shape
    runs = values.mean(axis=2)
    mean = runs.mean(axis=1)
    if seeds == 1:
        return Comparison(mean, np.full(cells, np.nan), np.ones(cells, bool))
    examples = _covariances(values) / values.shape[2]
    own = np.diag(examples)
    stderr = np.sqrt(_variances(runs - mean[:, None], cells * (seeds - 1)) / seeds + own)
    if cells == 1:
        return Comparison(mean, stderr, np.ones(1, bool))
    trainings = spread_of(runs)
    if chance_of_alike(runs) < _UNLIKE:
        trainings = trainings._replace(own=np.ones(cells, bool))
    training = trainings.variance / seeds
    # Rounding may leave less than nothing of equal examples.
    paired = np.maximum(own[:, None] + own - 2 * examples, 0)
    errors = np.sqrt(training[:, None] + training + paired)
    unit = np.eye(cells)
    freedom = freedom_of_sums(trainings, unit[:, None] + unit, paired * seeds)
    # Whole numbers: the limit of each is computed once.
    freedom = np.minimum(np.floor(freedom + 1e-9), values.shape[2] - 1).astype(int)
    limit = partial(_widest_range, cells, error=error)
    better = _beyond(mean[:, None] - mean, errors, freedom, limit)
    return Comparison(mean, stderr, ~np.any(better, axis=0))


def _refuse_unless_comparable(values: Float[np.ndarray, "m s n"], error: float) -> None:
    if values.ndim != 3 or 0 in values.shape or values.shape[2] < 2:
        raise ValueError(
            f"expected values [cells, seeds, examples] of at least 2 examples, got shape "
            f"{values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError("expected finite values, got NaN or infinity: leave such cells out")
    refuse_no_share(error)


def _covariances(values: Float[np.ndarray, "m s n"]) -> Float[np.ndarray, "m m"]:
    """Covariances over examples of the cells' means over seeds."""
    examples = values.mean(axis=1)
    centered = examples - examples.mean(axis=1, keepdims=True)
    return centered @ centered.T / (values.shape[2] - 1)


def _variances(rest: Float[np.ndarray, "m s"], freedom: int) -> Float[np.ndarray, " m"]:
    """The variance of every cell, or that of all cells together, whichever is larger."""
    squares = np.sum(rest**2, axis=1)
    return np.maximum(squares * len(rest), squares.sum()) / freedom


def _beyond(
    differences: Float[np.ndarray, "*p"],
    errors: Float[np.ndarray, "*p"],
    freedom: Int[np.ndarray, "*p"],
    limit: Callable[[int], float],
) -> Bool[np.ndarray, "*p"]:
    """Which differences exceed as many of their errors as `limit` gives for their freedom.

    A limit takes a quarter of a second, and falls as freedom grows: those of the least and
    the most freedom decide nearly all differences.
    """
    low, high = int(freedom.min()), int(freedom.max())
    beyond = differences > limit(low) * errors
    undecided = ~beyond & (differences > limit(high) * errors)
    upper = freedom > (low + high) // 2
    for part in (undecided & upper, undecided & ~upper):
        if part.any():
            beyond[part] = _beyond(differences[part], errors[part], freedom[part], limit)
    return beyond


@cache
def _widest_range(cells: int, freedom: int, error: float) -> float:
    """Standard errors of a difference that the largest one of equal cells rarely exceeds."""
    from scipy.stats import studentized_range  # noqa: PLC0415

    return float(studentized_range.ppf(1 - error, cells, freedom)) / 2**0.5
