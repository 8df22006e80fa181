"""Bounds of accuracy by information, and the accuracies above them by more than chance."""

import numpy as np
from jaxtyping import Bool, Float

from jaxvae.analysis.estimate import Estimate
from jaxvae.files.refusals import as_count, refuse_no_share
from jaxvae.geometry.arrays import as_float64
from jaxvae.metrics.information import accuracy_bound
from jaxvae.typing import ArrayLike


def bound_estimate(information: Estimate, label_probabilities: ArrayLike) -> Estimate:
    """The largest accuracy that information allows, and the error that its error leaves in it.

    Args:
        information: `[]`, nats; see `accuracy_bound`.
        label_probabilities: `[M]`.

    Returns:
        The bound, 1 where there is only one label. Its error is half the difference that a
        standard error of information more and less makes, NaN where that is NaN.

    Raises:
        ValueError: for what `accuracy_bound` refuses.
    """
    shares, (nats, error) = np.asarray(label_probabilities), information
    if len(shares) < 2:
        return Estimate(np.float64(1), np.float64(0))
    step = np.nan_to_num(error)
    low, value, high = np.asarray(
        accuracy_bound(np.array([nats - step, nats, nats + step]), shares), np.float64
    )
    return Estimate(value, np.float64(np.nan if np.isnan(error) else (high - low) / 2))


def above_bound(
    hits: Float[np.ndarray, "*shape"],
    information: Estimate,
    label_probabilities: ArrayLike,
    *,
    n: int,
    error: float = 0.05,
) -> Bool[np.ndarray, "*shape"]:
    """Accuracies that are clearly above the bound that information sets, of many tested together.

    A classifier is clearly above where the lower confidence limit of its accuracy (Clopper and
    Pearson, exact) exceeds `accuracy_bound` at the upper limit of the information (Student's t).
    Each limit is one-sided and missed in the share `error / 2 / tests`: so no bound that holds
    is called broken in more than the share `error` of all such families of tests (Bonferroni).
    With several bounds on one accuracy, test each apart: the smallest of several estimates is
    biased downwards, and would be broken by chance.

    Args:
        hits: how many of the test examples a classifier is right on; NaN for one not tested.
        information: nats, what it was given at most, with its standard error over n examples;
            of a shape that broadcasts with `hits`. NaN counts as unlimited.
        label_probabilities: `[M]`, M >= 2.
        n: test examples, at least 2.
        error: error of all tests together.

    Raises:
        ValueError: for hits outside 0 to n, an n that is no whole number of at least 2, and what
            `accuracy_bound` refuses; an error that is not between 0 and 1.

    Reference: Clopper and Pearson (1934); Fano (1961).
    """
    from scipy.special import betaincinv, stdtrit  # noqa: PLC0415

    hits, information = as_float64(hits), Estimate(*map(as_float64, information))
    tested = ~np.isnan(hits)
    n = as_count(n, f"expected a whole number n of at least 2 test examples, got n={n}", least=2)
    if not np.all((hits[tested] >= 0) & (hits[tested] <= n)):
        raise ValueError(
            f"expected 0 <= hits <= n, got hits from {np.nanmin(hits)} to {np.nanmax(hits)}, n={n}"
        )
    refuse_no_share(error)
    share = error / 2 / max(1, int(tested.sum()))
    some = np.where(tested & (hits > 0), hits, 1)
    lowest = np.where(hits > 0, betaincinv(some, n - some + 1, share), 0.0)
    nats = np.asarray(information.value + stdtrit(n - 1, 1 - share) * information.stderr)
    largest = accuracy_bound(np.where(np.isnan(nats), np.inf, nats), label_probabilities)
    return tested & (lowest > np.asarray(largest, np.float64))
