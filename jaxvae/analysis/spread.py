"""The variance between trainings of several models, where some may vary more than others."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float


class Spread(NamedTuple):
    """Variances between trainings of m models, what all of a seed share taken off.

    Attributes:
        variance: for every model, its own variance or that of all together, whichever is larger.
            That of all together has `freedom` degrees of freedom.
        own: whether it is its own variance, which has `seeds - 1` degrees of freedom.
        seeds: number of trainings of every model, at least 2.
    """

    variance: Float[np.ndarray, " m"]
    own: Bool[np.ndarray, " m"]
    seeds: int

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the variance of all together."""
        return (len(self.variance) - 1) * (self.seeds - 1)


def spread_of(runs: Float[np.ndarray, "m s"]) -> Spread:
    """The variance between trainings that an additive model of models and seeds leaves.

    The own variance is unbiased, also where those of models differ (Grubbs 1948). Of two models
    it cannot be told: that of both together is taken.
    """
    models, seeds = runs.shape
    squares = residual_squares(runs)
    together = squares.sum() / (models - 1) / (seeds - 1)
    own = np.zeros(models)
    if models > 2:
        own = (models * squares - squares.sum() / (models - 1)) / (models - 2) / (seeds - 1)
    # Not by rounding.
    larger = own > together * (1 + 1e-9)
    return Spread(np.where(larger, own, together), larger, seeds)


def chance_of_alike(runs: Float[np.ndarray, "m s"]) -> float:
    """The probability that the largest variance has so large a share where all models vary alike.

    The p value of Cochran (1941), which is an upper limit; 1 for two models, whose variances
    cannot be told, and where nothing varies.
    """
    from scipy.special import betainc  # noqa: PLC0415

    models, seeds = runs.shape
    squares, half = residual_squares(runs), (seeds - 1) / 2
    if models == 2 or not squares.any():
        return 1.0
    rest = 1 - squares.max() / squares.sum()
    return min(1.0, models * float(betainc((models - 1) * half, half, rest)))


def ways_of(by_seed: Float[np.ndarray, "s s"]) -> float:
    """In how many ways seeds are seen to vary, 1 where all of them vary along one pattern.

    The share of Greenhouse and Geisser (1959) times the largest number that there may be: the
    square of the trace over the sum of squares.

    Args:
        by_seed: sums of products of the residuals of every two seeds, of which some are not 0.
    """
    return 1 / float(np.sum((by_seed / np.trace(by_seed)) ** 2))


def residuals(runs: Float[np.ndarray, "m s"]) -> Float[np.ndarray, "m s"]:
    """What the means of models and of seeds leave of runs."""
    return runs - runs.mean(axis=1, keepdims=True) - runs.mean(axis=0) + runs.mean()


def residual_squares(runs: Float[np.ndarray, "m s"]) -> Float[np.ndarray, " m"]:
    """Squared residuals of every model, without its own mean and that of every seed."""
    return np.sum(residuals(runs) ** 2, axis=1)


def freedom_of_sums(spread: Spread, squares: Float[np.ndarray, "*c m"]) -> Float[np.ndarray, "*c"]:
    """Degrees of freedom of variances of sums over models, at most those of all together.

    Those of own variances are combined by Welch (1947) and Satterthwaite (1946).

    Args:
        spread: spread of the models.
        squares: squared weights of the models in every sum.
    """
    parts = squares * spread.variance
    own = np.sum(np.where(spread.own, parts, 0.0) ** 2, axis=-1) / (spread.seeds - 1)
    shared = np.sum(np.where(spread.own, 0.0, parts), axis=-1) ** 2 / spread.freedom
    whole = parts.sum(axis=-1) ** 2
    most = np.full(np.shape(whole), float(spread.freedom))
    with np.errstate(over="ignore"):
        combined = np.divide(whole, own + shared, out=most.copy(), where=own + shared > 0)
    return np.minimum(combined, most)


def lower_limits(runs: Float[np.ndarray, "m s"], *, error: float) -> Float[np.ndarray, " m"]:
    """Lower confidence limits of the means of models, one-sided, of all models together.

    Limits of Student's t, with Bonferroni's correction. Trainings of different models are taken to
    share nothing: what all of a seed share counts as spread, unlike in `spread_of`. The variance is
    that of all models together, with m (s - 1) degrees of freedom, or that of the model where it is
    larger, with s - 1.

    Args:
        runs: what is measured of every model and seed. Limits are NaN for one seed.
        error: the chance that some limit is above its mean.
    """
    from scipy.special import stdtrit  # noqa: PLC0415

    models, seeds = runs.shape
    if seeds == 1:
        return np.full(models, np.nan)
    own = runs.var(axis=1, ddof=1)
    together = own.mean()
    # Not by rounding.
    larger = own > together * (1 + 1e-9)
    freedom = np.where(larger, seeds - 1, models * (seeds - 1))
    variance = np.where(larger, own, together)
    steps = stdtrit(freedom, 1 - error / models) * np.sqrt(variance / seeds)
    return runs.mean(axis=1) - steps
