"""Which bottleneck is large enough: a reasoned answer from a sweep."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Advice(NamedTuple):
    """From which size on a bottleneck stops being the limit.

    Attributes:
        bottleneck: the smallest sufficient size, or None if even the largest
            one tried may still be the limit.
        gain: by which share larger bottlenecks lower Delta(output -> input) at
            best; where `bottleneck` is None, what the largest gained over the others.
        error: standard error of that share over seeds; NaN for one seed.
    """

    bottleneck: int | None
    gain: float
    error: float


def sufficient_bottleneck(
    bottlenecks: Int[np.ndarray, " k"],
    imbalance: Float[np.ndarray, "k s"],
    *,
    tolerance: float = 0.25,
) -> Advice:
    """The smallest bottleneck that no larger one improves on.

    The measure is Delta(output -> input), the information about neighborhoods
    of the data that a reconstruction has lost. It falls over orders of magnitude
    in a sweep, so differences are shares: a larger bottleneck improves on a
    smaller one if it lowers the mean over seeds by more than the share
    `tolerance` and by more than two standard errors of the difference.

    Args:
        bottlenecks: sizes, ascending.
        imbalance: Delta(output -> input) for every size and seed, positive.
        tolerance: smallest share that matters.

    Returns:
        `Advice`. The largest size has none above it and is never sufficient
        by evidence: then `bottleneck` is None.

    Raises:
        ValueError: for sizes that do not ascend, shapes that do not match, and values
            that are not positive and finite.
    """
    rows = imbalance.ndim == 2 and imbalance.shape[:1] == np.shape(bottlenecks)
    valid = np.all(np.isfinite(imbalance) & (imbalance > 0))
    if np.any(np.diff(bottlenecks) <= 0) or not rows or not valid:
        raise ValueError(
            f"expected ascending sizes [k] and positive imbalances [k, seeds], got {bottlenecks} "
            f"and shape {imbalance.shape}"
        )
    for index, bottleneck in enumerate(bottlenecks[:-1]):
        gain, error = _best_gain(imbalance[index], imbalance[index + 1 :])
        if not gain > max(tolerance, 0.0 if np.isnan(error) else 2 * error):
            return Advice(int(bottleneck), gain, error)
    if len(bottlenecks) == 1:
        return Advice(None, np.nan, np.nan)
    best_before = int(np.argmin(imbalance[:-1].mean(axis=1)))
    return Advice(None, *_best_gain(imbalance[best_before], imbalance[-1:]))


def _best_gain(
    here: Float[np.ndarray, " s"], larger: Float[np.ndarray, "m s"]
) -> tuple[float, float]:
    best = larger[np.argmin(larger.mean(axis=1))]
    gain = float(1 - best.mean() / here.mean())
    if len(here) < 2:
        return gain, float("nan")
    error = np.sqrt((here.var(ddof=1) + best.var(ddof=1)) / len(here))
    return gain, float(error / here.mean())
