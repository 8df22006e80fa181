"""Which of many models cannot be told from the best, as trainings and test examples vary."""

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from jaxvae.analysis.spread import chance_of_alike, residuals, ways_of
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
    If trainings are normal, of all pairs of cells together one is wrongly told apart in at most the
    share `error` of such grids, whatever seeds do in which cells, and a cell that is left out is
    truly worse than another. With two seeds that takes a difference of dozens of standard errors,
    so that nearly nothing is decided; four or more decide (power and errors, simulated:
    `docs/statistics.md`). Of failures that no seed has shown nothing is known: a cell that fails in
    some trainings is called better than it is in their mean where none of its seeds has failed.

    Differences are paired. One cell is clearly better than another where the square of the
    difference of their scores exceeds the sum of

    - `q(f)^2 / 2` times the variance of the difference between trainings over s: that over seeds,
      or the mean of those of all pairs where this is larger, because few seeds tell little of one;
    - `q(n - 1)^2 / 2` times the variance of the difference over examples, averaged over seeds,
      over n (both limits are added as Banerjee does).

    q(f) is the quantile `1 - error` of the studentized range of m means with f degrees of freedom
    (Tukey). f is s - 1 times the number of ways, 1 to s - 1, in which trainings are seen to differ:
    the share of Greenhouse and Geisser times m - 1. It is s - 1 where seeds change all cells in one
    pattern, as one half of a grid against the other, and where the cells do not vary alike
    (Cochran 1941, p < .2). The limit takes some hundreds of examples.

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

    Reference: Cochran (1941); Tukey (1953); Greenhouse and Geisser (1959); Banerjee (1960); Hsu
        (1984) for the set of the best.
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
    training, freedom = _trainings(runs)
    # Rounding may leave less than nothing of equal examples.
    paired = np.maximum(own[:, None] + own - 2 * examples, 0)
    limit = _widest_range(cells, freedom, error) ** 2 * training
    limit += _widest_range(cells, values.shape[2] - 1, error) ** 2 * paired
    better = mean[:, None] - mean > np.sqrt(limit)
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


def _trainings(runs: Float[np.ndarray, "m s"]) -> tuple[Float[np.ndarray, "m m"], int]:
    """The error that trainings leave in every difference, squared, and its degrees of freedom."""
    cells, seeds = runs.shape
    rest = residuals(runs)
    products, by_seed = rest @ rest.T, rest.T @ rest
    squares = np.diag(products)
    pairs = squares[:, None] + squares - 2 * products
    together = 2 * squares.sum() / (cells - 1)
    ways = 1.0
    if squares.any() and chance_of_alike(runs) >= _UNLIKE:
        ways = ways_of(by_seed)
    # A whole number: the limit of each is computed once.
    freedom = int((seeds - 1) * ways + 1e-9)
    return np.maximum(pairs, together) / (seeds - 1) / seeds, freedom


@cache
def _widest_range(cells: int, freedom: int, error: float) -> float:
    """Standard errors of a difference that the largest one of equal cells rarely exceeds."""
    from scipy.stats import studentized_range  # noqa: PLC0415

    return float(studentized_range.ppf(1 - error, cells, freedom)) / 2**0.5
