"""A number and how far chance may have moved it."""

from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

Numbers: TypeAlias = Float[np.ndarray, "*shape"] | np.float64


class Estimate(NamedTuple):
    """A number, or an array of them, with its standard error; float64 on the host.

    Attributes:
        value: what was measured.
        stderr: its standard error, of the same shape and in the same units.
    """

    value: Numbers
    stderr: Numbers


def mean_estimate(values: Float[np.ndarray, "n *shape"]) -> Estimate:
    """The mean over examples, and `s / sqrt(n)`, with s^2 dividing by n - 1.

    One example alone has an error of NaN, and so have examples that are not finite. The examples
    are taken as independent.
    """
    wide = np.asarray(values, np.float64)
    n = len(wide)
    if n == 1:
        return Estimate(wide[0], np.full(wide.shape[1:], np.nan))
    with np.errstate(invalid="ignore", over="ignore"):
        return Estimate(wide.mean(axis=0), wide.std(axis=0, ddof=1) / n**0.5)


def p_value_of_mean(values: Float[np.ndarray, " n"]) -> float:
    """The two-sided p-value of Student's t-test for a mean of 0, such as that of differences.

    NaN for fewer than two values. Where all of them are the same it is 0, or 1 if they are 0.
    """
    from scipy.special import stdtr  # noqa: PLC0415

    if len(values) < 2:
        return float("nan")
    mean, stderr = mean_estimate(values)
    if stderr == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stdtr(len(values) - 1, -np.abs(mean / stderr)))


def share_estimate(hits: int, n: int) -> Estimate:
    """A share of n independent trials, and a standard error that is never zero.

    The error is the standard deviation of the posterior of the share under a uniform prior,
    `sqrt(s (1 - s) / (n + 3))` with `s = (hits + 1) / (n + 2)`: close to the usual
    `sqrt(a (1 - a) / n)`, which would be 0 where all or none of the trials are hits.

    Raises:
        ValueError: for no trials, and hits outside 0 to n.
    """
    if not 0 <= hits <= n or n < 1:
        raise ValueError(f"expected 0 <= hits <= n and n >= 1, got hits={hits}, n={n}")
    smoothed = (hits + 1) / (n + 2)
    error = (smoothed * (1 - smoothed) / (n + 3)) ** 0.5
    return Estimate(np.float64(hits / n), np.float64(error))
