"""The number of epochs to train for: more until models no longer improve."""

import math

import numpy as np
from jaxtyping import Float

from jaxvae.advising.criteria import decided_bounds
from jaxvae.advising.reading import SweepReading
from jaxvae.analysis.advice import TOLERANCE, keep_less_in_the_means
from jaxvae.analysis.spread import lower_limits

# A fall of log Delta that is worth a larger size is worth a longer training.
_MOST_FALL = -math.log1p(-TOLERANCE)
_ERROR = 0.05
# Steps of the shortest training that is tried.
_FIRST_STEPS = 3000
MOST_STEPS = 16 * _FIRST_STEPS
"""Steps of the longest training that is tried."""


def first_epochs(steps_per_epoch: int) -> int:
    """The least even number of epochs that are 3,000 steps."""
    return 2 * max(1, math.ceil(_FIRST_STEPS / steps_per_epoch / 2))


def improving_in_the_means(reading: SweepReading) -> list[int]:
    """The sizes whose Delta fell in the mean over seeds by a share worth a larger size.

    Since it was measured before. It may be chance: that decides about training alone, which is
    longer than it has to be then.
    """
    falls = _falls(reading).mean(axis=1)
    return reading.sizes[falls > _MOST_FALL].tolist()


def shown_to_improve(reading: SweepReading) -> list[int]:
    """The sizes whose Delta is shown to have fallen by more than that, beyond other seeds.

    By limits over seeds of all sizes together, paired by training: a size is named that did not
    fall so far in at most 5% of sweeps. None for one seed.
    """
    least = lower_limits(_falls(reading), error=_ERROR)
    return reading.sizes[least > _MOST_FALL].tolist()


def _falls(reading: SweepReading) -> Float[np.ndarray, "k s"]:
    """By how much log Delta fell since it was measured before."""
    return np.log(reading.earlier_imbalance / reading.imbalance)


def longer_epochs(reading: SweepReading, steps_per_epoch: int) -> int | None:
    """Twice the epochs where the second half of a training may have helped some size, else None.

    Models that have learned nothing so far may be on a plateau: they are trained on. So are those
    of which a larger one keeps less than a smaller one in the means, where no size is shown to be
    enough.

    Args:
        reading: measurements at half of the training and at its end.
        steps_per_epoch: steps of an epoch, for the longest training that is tried.
    """
    undecided = decided_bounds(reading).sufficient is None
    worse = undecided and bool(keep_less_in_the_means(reading.imbalance).any())
    helped = not reading.has_learned or worse or improving_in_the_means(reading)
    more = 2 * reading.epoch
    return more if helped and more * steps_per_epoch <= MOST_STEPS else None
