"""The loss over training -> whether the model was still improving at the end."""

import numpy as np

from jaxvae.analysis.estimate import Estimate
from jaxvae.runs.curve import Curve

CLEAR = 2
"""A change of so many standard errors is called one."""

# Windows of a quarter of training below which nothing is said of it.
_FEWEST = 3
# Blocks of the last half of training: long enough that neighbors are nearly independent.
_BLOCKS = 8


def change_at_the_end(curve: Curve) -> Estimate | None:
    """The loss of the last quarter of training minus that of the quarter before, nats per image.

    Neighboring windows are not independent: the error is from the means of eight blocks of the
    last half of training (or of its windows, if fewer), by what these leave of a straight line.

    Of a run that began with another, training is what came after: what is known of its loss.

    Args:
        curve: means over windows of training.

    Returns:
        The difference, with its standard error, widened so that two of it are the limits of 95%
        that few blocks allow (Student's t); None where a quarter has fewer than three windows. Of
        200 windows of a level loss with an autocorrelation of 0, .5 and .8 from one to the next,
        the difference is beyond two errors, up or down, in 4%, 5% and 8%; of 40 windows in 4%, 12%
        and 25%.
    """
    from scipy.special import stdtrit  # noqa: PLC0415

    steps, loss = np.array(curve.steps) - curve.begun, np.array(curve.means.get("loss", []))
    if not len(steps):
        return None
    last = steps > 0.75 * steps[-1]
    before = (steps > 0.5 * steps[-1]) & ~last
    if min(last.sum(), before.sum()) < _FEWEST:
        return None
    parts = np.array_split(loss[before | last], min(_BLOCKS, last.sum() + before.sum()))
    blocks = np.array([part.mean() for part in parts])
    place = np.arange(len(blocks))
    rest = blocks - np.polyval(np.polyfit(place, blocks, 1), place)
    freedom = len(blocks) - 2
    # Two means of half of the blocks each.
    stderr = 2 * np.sqrt(np.sum(rest**2) / freedom / len(blocks))
    return Estimate(
        np.float64(loss[last].mean() - loss[before].mean()),
        np.float64(stderr * stdtrit(freedom, 0.975) / CLEAR),
    )
