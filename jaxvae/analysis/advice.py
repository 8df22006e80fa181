"""Which bottleneck is large enough, by an equivalence test over seeds, and what is undecided."""

from bisect import bisect_left
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxvae.analysis.spread import Spread, chance_of_alike, freedom_of_sums, spread_of
from jaxvae.geometry.arrays import as_float64

# This share of all answers may be wrong: half of them by leaving out a sufficient size, half by
# naming an insufficient one.
_ERROR = 0.05
# p below this means that sizes vary differently. With a higher limit, more sweeps of sizes that do
# vary alike would lose some of the degrees of freedom.
_UNLIKE = 0.05
TOLERANCE = 0.25
"""A larger bottleneck that lowers Delta by no more than this share is not worth it."""
MOST_LOST = 2.0
"""A bottleneck with so many times the Delta of a smaller one was not trained well.

It could do what the smaller one does. Latents to spare raise Delta all the same, by up to 1.6 times
in trained models of images of known dimension and of MNIST (`docs/choosing_a_bottleneck.md`).
"""
# More seeds than these are not counted.
MOST_COUNTED = 50


class Advice(NamedTuple):
    """The smallest sufficient bottleneck, or the sizes that may be it.

    Attributes:
        bottleneck: the smallest sufficient size, where the evidence leaves only one and shows
            it to be sufficient; None where that is not decided, or no size tried is sufficient.
        candidates: ascending, the sizes that cannot be excluded as the smallest sufficient one.
            The largest size tried is never shown to be sufficient, since nothing larger was.
        gain: for every size, the largest share by which a larger size lowers Delta(output ->
            input), in the means over seeds; negative where all larger ones raise it, NaN for
            the largest size.
        lower: lower confidence limit of that share; NaN for one seed, and for the largest size.
        upper: the upper confidence limit, one step beyond the largest size included; NaN for one
            seed, for the largest size, and where no larger size is shown to be trained, with less
            than `MOST_LOST` times the Delta of every smaller one.
        seeds: how many seeds would decide if means and spread stayed as they are, `MOST_COUNTED`
            for so many or more; None where it is decided, where no number would, since the
            means themselves fall to the largest size, and for one seed. Means change with more
            seeds: see `docs/choosing_a_bottleneck.md` for how often so many do decide.
    """

    bottleneck: int | None
    candidates: tuple[int, ...]
    gain: Float[np.ndarray, " k"]
    lower: Float[np.ndarray, " k"]
    upper: Float[np.ndarray, " k"]
    seeds: int | None


def keep_less_in_the_means(imbalance: Float[np.ndarray, "k s"]) -> Bool[np.ndarray, " k"]:
    """Which sizes have `MOST_LOST` times the Delta of a smaller one, in the mean over seeds.

    It may be chance, which `shown_to_keep_less` excludes: it decides about training alone.

    Args:
        imbalance: as for `sufficient_bottleneck`, which refuses others.
    """
    return _lost(np.log(as_float64(imbalance)).mean(axis=1)) >= np.log(MOST_LOST)


def shown_to_keep_less(imbalance: Float[np.ndarray, "k s"]) -> Bool[np.ndarray, " k"]:
    """Which sizes are shown to have `MOST_LOST` times the Delta of a smaller one, or more.

    By lower confidence limits of Student's t with the spread of `sufficient_bottleneck`, and
    Bonferroni over all pairs of sizes: a size is named that has less in at most 5% of sweeps. None
    for one seed. Where models are trained well there are none.

    Args:
        imbalance: as for `sufficient_bottleneck`, which refuses others.
    """
    means, spread = _summarized(np.log(as_float64(imbalance)))
    shown = np.zeros(len(means), bool)
    if spread is None:
        return shown
    smaller, larger = np.triu_indices(len(means), 1)
    unit = np.eye(len(means))
    lost = unit[larger] - unit[smaller]
    least = lost @ means - _step(spread, lost, _ERROR / len(lost))
    shown[larger[least >= np.log(MOST_LOST)]] = True
    return shown


class _Sweep(NamedTuple):
    """Means of log Delta over seeds by size, and their spread; None where it is unknown."""

    means: Float[np.ndarray, " k"]
    spread: Spread | None


def sufficient_bottleneck(
    bottlenecks: Int[np.ndarray, " k"],
    imbalance: Float[np.ndarray, "k s"],
    *,
    tolerance: float = TOLERANCE,
) -> Advice:
    """The smallest bottleneck that no larger one improves on, if the seeds can tell.

    The measure is Delta(output -> input), the information about neighborhoods of the data that
    a reconstruction has lost. It falls over orders of magnitude in a sweep, so all is done on
    its logarithm, and gains are shares. A size is sufficient if no larger one lowers Delta by
    more than the share `tolerance`. It is

    - shown to be sufficient, if the upper confidence limit of what every larger size gains is
      below the tolerance; and of what one more step would gain that changes Delta as the last
      step did, so that a slow decline to the end of the sweep is no plateau. And some larger size
      has to be shown to be trained: to have less than twice the Delta of the best smaller one,
      since it could do what that does; otherwise it is no evidence for it. The last step leaves
      out sizes that have twice that Delta or more in the means;
    - shown not to be, if the lower limit of what some larger size gains is above it;
    - undecided otherwise. That no gain is seen is no evidence that there is none.

    The model is additive: log Delta is that of the size, plus that of the seed (the same seed
    in all sizes), plus noise. Limits are those of Student's t. The variance of a size is that of
    all together, with (k - 1)(s - 1) degrees of freedom; where its own is larger that one counts,
    with s - 1, since some sizes may be trained less reliably than others (`spread_of`). Where the
    sizes do not vary alike (Cochran 1941, p < .05), the variance is estimated once more without the
    smallest ones that are shown to be insufficient, which no longer matter. Limits of
    "not sufficient" are those of Bonferroni over all larger sizes. A wrong size is named in at
    most 5% of sweeps where noise is the same at all sizes; for noise that is not, see the rates
    that were simulated, in `docs/statistics.md`. Noise is taken to be normal. A size of which 30%
    of trainings fail, with three times the Delta, is named although the mean of all its trainings
    is not enough in up to 26% of sweeps of two to five seeds, and 6% of eight: where none of its
    seeds failed, nothing tells.

    Seeds need not share anything between sizes, and in `experiments/bottleneck` they do not: each
    size of a seed has a key of its own. The limits hold then too; that sizes are compared seed by
    seed costs s - 1 of the k (s - 1) degrees of freedom, and all sizes need the same seeds.

    Args:
        bottlenecks: sizes, ascending.
        imbalance: Delta(output -> input) for every size and seed, positive.
        tolerance: smallest share that matters, between 0 and 1.

    Returns:
        `Advice`. With one seed nothing is decided: all sizes are candidates.

    Raises:
        ValueError: for sizes that are not whole, below 1 or do not ascend, shapes that do not
            match, values that are not positive and finite, and a tolerance that is not between 0
            and 1.
    """
    sizes, imbalance = as_float64(bottlenecks), as_float64(imbalance)
    rows = imbalance.ndim == 2 and imbalance.shape[:1] == sizes.shape and imbalance.size > 0
    valid = np.all(np.isfinite(imbalance) & (imbalance > 0))
    whole = np.all(np.isfinite(sizes) & (sizes >= 1)) and np.all(sizes == np.round(sizes))
    if not rows or not valid or not whole or not np.all(np.diff(sizes) > 0):
        raise ValueError(
            "expected whole bottlenecks [k] of at least 1 that ascend, and finite, positive "
            f"imbalance [k, seeds], got bottlenecks={bottlenecks} and imbalance of shape "
            f"{imbalance.shape}"
        )
    if not 0 < tolerance < 1:
        raise ValueError(f"expected 0 < tolerance < 1, got tolerance={tolerance}")
    logs, most = np.log(imbalance), -np.log1p(-tolerance)
    lower, upper, rest = _told(logs, most)
    kept, named = _decided(lower, upper, most)
    return Advice(
        None if named is None else int(sizes[named]),
        tuple(int(size) for size in sizes[kept]),
        -np.expm1(-_gains(logs.mean(axis=1))),
        -np.expm1(-lower),
        -np.expm1(-upper),
        _seeds_to_decide(rest, most) if named is None else None,
    )


def _told(
    logs: Float[np.ndarray, "k s"], most: float
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"], _Sweep]:
    """Lower and upper limits of all sizes, and the sweep of those that may be sufficient.

    Sizes that vary otherwise than the rest are left out of it once they are too small.
    """
    lower, upper = np.full((2, len(logs)), np.nan)
    first = 0
    while True:
        sweep = _summarized(logs[first:])
        lower[first:], upper[first:] = _limits(sweep)
        too_small = int(np.cumprod(lower[first:] > most).sum())
        left = len(sweep.means) - too_small
        if too_small == 0 or left < 2 or chance_of_alike(logs[first:]) >= _UNLIKE:
            return lower, upper, sweep
        first += too_small


def _summarized(logs: Float[np.ndarray, "k s"]) -> _Sweep:
    return _Sweep(logs.mean(axis=1), spread_of(logs) if min(logs.shape) > 1 else None)


def _gains(means: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """The gain of the best larger size over each size, in log Delta."""
    best = np.minimum.accumulate(means[::-1])[::-1]
    return np.append(means[:-1] - best[1:], np.nan)


def _limits(sweep: _Sweep) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Lower and upper confidence limits of the largest gain of a larger size, in log Delta."""
    means, spread = sweep
    sizes = len(means)
    lower, upper = np.full((2, sizes), np.nan)
    if spread is None:
        return lower, upper
    unit = np.eye(sizes)
    smaller, larger = np.triu_indices(sizes, 1)
    gains = unit[smaller] - unit[larger]
    # A step beyond the largest size that changes log Delta as the last one did.
    before, last = [0, 0, *np.flatnonzero(_lost(means) < np.log(MOST_LOST))][-2:]
    beyond = unit[:last] + unit[before] - 2 * unit[last]
    below = gains @ means - _step(spread, gains, _ERROR / 2 / (sizes - 1 - smaller))
    above = gains @ means + _step(spread, gains, _ERROR / 2)
    further = beyond @ means + _step(spread, beyond, _ERROR / 2)
    for size in range(sizes - 1):
        lower[size] = below[smaller == size].max()
    for size in range(min(last, _last_trained(means, spread))):
        upper[size] = max(above[smaller == size].max(), further[size])
    return lower, upper


def _lost(means: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """By how much every mean of log Delta is above the least of smaller sizes; 0 for the first."""
    return means - np.append(means[:1], np.minimum.accumulate(means)[:-1])


def _last_trained(means: Float[np.ndarray, " k"], spread: Spread) -> int:
    """The place of the largest size that is shown not to keep less than a smaller one."""
    best = [0, *(int(means[:place].argmin()) for place in range(1, len(means)))]
    unit = np.eye(len(means))
    most = _lost(means) + _step(spread, unit - unit[best], _ERROR / 2)
    # The first has nothing to be compared with.
    return int(np.flatnonzero(most < np.log(MOST_LOST))[-1])


def _step(
    spread: Spread, weights: Float[np.ndarray, "c k"], error: Float[np.ndarray, " c"] | float
) -> Float[np.ndarray, " c"]:
    """One-sided confidence limits of sums of log Delta whose weights add up to 0."""
    from scipy.special import stdtrit  # noqa: PLC0415

    variance = weights**2 @ spread.variance / spread.seeds
    return stdtrit(freedom_of_sums(spread, weights**2), 1 - error) * np.sqrt(variance)


def _decided(
    lower: Float[np.ndarray, " k"], upper: Float[np.ndarray, " k"], most: float
) -> tuple[Bool[np.ndarray, " k"], int | None]:
    """The sizes that may be the smallest sufficient one, and the size itself if one is left."""
    (sufficient,) = np.nonzero(upper < most)
    kept = ~(lower > most)
    if len(sufficient) == 0:
        return kept, None
    kept[sufficient[0] + 1 :] = False
    return kept, int(sufficient[0]) if kept.sum() == 1 else None


def _seeds_to_decide(sweep: _Sweep, most: float) -> int | None:
    means, spread = sweep
    if spread is None:
        return None
    certain = spread._replace(variance=0 * spread.variance)
    if _decided(*_limits(_Sweep(means, certain)), most)[1] is None:
        return None

    def decided(seeds: int) -> bool:
        more = _Sweep(means, spread._replace(seeds=seeds))
        return _decided(*_limits(more), most)[1] is not None

    # More seeds narrow all limits: what is decided stays so.
    counts = range(spread.seeds + 1, MOST_COUNTED)
    return spread.seeds + 1 + bisect_left(counts, True, key=decided)
