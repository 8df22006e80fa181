"""Evidence over seeds for a claim that several differences hold at some layer or epoch."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

# This share of all sweeps may say something wrong of any of their models.
_ERROR = 0.05
# The chance that a variance is larger than its upper limit.
_DOUBT = 0.1


class Evidence(NamedTuple):
    """Whether a claim holds, for k models of which each was trained with several seeds.

    A claim is that at one of several places all of some differences of logarithms are larger
    than the least that counts. What is measured of a model is the smallest difference, at the
    place where that is largest; it is given as a share, .2 being 20%.

    Attributes:
        shown: `[k]`, the claim holds: the lower confidence limit is above the least share.
        excluded: `[k]`, it does not: the upper limit is below. Neither is not decided.
        place: `[k]`, where the claim is shown the place with the highest lower limit; otherwise
            where the smallest difference is largest, in the means over seeds.
        share: `[k]`, the smallest difference there, in the means; NaN where no place has all of
            them.
        lower: `[k]`, the highest lower confidence limit of all places, where the claim is shown
            that of `place`; -1 where nothing is known, as for one seed.
        upper: `[k]`, the highest upper limit of all places; infinite where nothing is known.
    """

    shown: Bool[np.ndarray, " k"]
    excluded: Bool[np.ndarray, " k"]
    place: Int[np.ndarray, " k"]
    share: Float[np.ndarray, " k"]
    lower: Float[np.ndarray, " k"]
    upper: Float[np.ndarray, " k"]


def somewhere_all(
    differences: Float[np.ndarray, "k s c r"],
    *,
    known_error: Float[np.ndarray, "k c r"] | float = 0.0,
    least: float = 0.0,
) -> Evidence:
    """Whether at one of c places all r differences are above the least, with 95% confidence.

    Limits are those of Student's t over the seeds. The variance of every difference between
    seeds is taken from all models together. For a model that spreads more, at this place or over
    all places, that larger variance counts, with the fewer degrees of freedom of its own seeds. To
    the variance comes the square of an error that seeds share, which adds degrees of freedom
    (Satterthwaite 1946) as far as it is surely not small beside the variance: beside its upper 90%
    limit. By Bonferroni all answers for the k models are right in at least 95% of sweeps: the
    lower limit allows for the choice among c places, the upper one for r differences.

    Args:
        differences: differences of logarithms, by model, seed, place and kind. With NaN in any seed
            a place neither shows the claim nor excludes it.
        known_error: standard errors that are the same for all seeds, such as those of the
            images that everything is measured on. A place with NaN neither shows nor excludes.
        least: the logarithm of the least ratio that counts.
    """
    from scipy.special import stdtrit  # noqa: PLC0415

    models, seeds, places, kinds = differences.shape
    known = np.isfinite(differences).all(axis=1) & np.isfinite(known_error)
    means = np.where(known, differences.mean(axis=1), -np.inf)
    lower, upper = np.full(means.shape, -np.inf), np.full(means.shape, np.inf)
    if seeds > 1:
        error, freedom = _errors(differences, known, np.where(known, np.square(known_error), 0.0))
        t_of = np.stack(
            [stdtrit(freedom, 1 - _ERROR / models / count) for count in (places, kinds)]
        )
        lower = np.where(known, means - t_of[0] * error, -np.inf)
        upper = np.where(known, means + t_of[1] * error, np.inf)
    smallest, lowest = means.min(axis=2), lower.min(axis=2)
    low, high = lowest.max(axis=1), upper.min(axis=2).max(axis=1)
    shown = low > least
    place = np.where(shown, lowest.argmax(axis=1), smallest.argmax(axis=1))
    smallest_there = smallest[np.arange(models), place]
    share = np.where(np.isfinite(smallest_there), np.expm1(smallest_there), np.nan)
    return Evidence(shown, high < least, place, share, np.expm1(low), np.expm1(high))


def _errors(
    differences: Float[np.ndarray, "k s c r"],
    known: Bool[np.ndarray, "k c r"],
    certain: Float[np.ndarray, "k c r"] | float,
) -> tuple[Float[np.ndarray, "k c r"], Float[np.ndarray, "k c r"]]:
    """Standard errors of the means, a known variance included, and their degrees of freedom."""
    from scipy.special import gammaincinv  # noqa: PLC0415

    seeds = differences.shape[1]
    rest = np.where(known[:, None], differences - differences.mean(axis=1, keepdims=True), 0.0)
    own = np.sum(rest**2, axis=1) / (seeds - 1)
    count = np.maximum(known.sum(axis=0), 1)
    together = own.sum(axis=0) / count
    # By chance the few seeds of a model that spreads more agree at some place, hardly at all.
    shared = np.where(known, together, 0.0).sum(axis=1)
    ratio = np.divide(own.sum(axis=1), shared, out=np.ones_like(shared), where=shared > 0)
    larger = np.maximum(own, together * ratio[:, None])
    spread = np.maximum(together, larger) / seeds
    freedom = np.where(larger > together * (1 + 1e-9), 1, count) * (seeds - 1.0)
    half = freedom / 2
    most = spread * half / gammaincinv(half, _DOUBT)
    share = np.divide(certain, most, out=np.full_like(most, np.inf), where=most > 0)
    return np.sqrt(spread + certain), freedom * (1 + share) ** 2
