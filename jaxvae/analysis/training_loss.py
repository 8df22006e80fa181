"""The loss over training -> whether the model was still improving at the end."""

import math

import numpy as np

from jaxvae.analysis.estimate import Estimate, mean_estimate
from jaxvae.runs.curve import Curve

CLEAR = 2
"""A change of so many standard errors is called one."""

# Windows of a quarter of training below which nothing is said of it.
_FEWEST = 3


def change_at_the_end(curve: Curve) -> Estimate | None:
    """The loss of the last quarter of training minus that of the quarter before, nats per image.

    Of a run that began with another, training is what came after: what is known of its loss.

    Args:
        curve: means over windows of training.

    Returns:
        The difference, with the standard error of the two means over windows; None where a quarter
        has fewer than three windows.
    """
    steps, loss = np.array(curve.steps) - curve.begun, np.array(curve.means.get("loss", []))
    if not len(steps):
        return None
    last = steps > 0.75 * steps[-1]
    before = (steps > 0.5 * steps[-1]) & ~last
    if min(last.sum(), before.sum()) < _FEWEST:
        return None
    now, then = mean_estimate(loss[last]), mean_estimate(loss[before])
    return Estimate(
        np.float64(now.value - then.value), np.float64(math.hypot(now.stderr, then.stderr))
    )
