"""The number of epochs to train for: more until models no longer improve."""

import math

import numpy as np

from jaxvae.advising.criteria import decided_bounds
from jaxvae.advising.reading import SweepReading
from jaxvae.analysis.advice import TOLERANCE, keep_less

# Steps of the shortest training that is tried.
_FIRST_STEPS = 3000
MOST_STEPS = 16 * _FIRST_STEPS
"""Steps of the longest training that is tried."""


def first_epochs(steps_per_epoch: int) -> int:
    """The least even number of epochs that are 3,000 steps."""
    return 2 * max(1, math.ceil(_FIRST_STEPS / steps_per_epoch / 2))


def sizes_that_still_improve(reading: SweepReading) -> list[int]:
    """The sizes whose Delta fell, since it was measured before, by a share worth a larger size."""
    falls = 1 - np.exp(np.log(reading.imbalance / reading.earlier_imbalance).mean(axis=1))
    return reading.sizes[falls > TOLERANCE].tolist()


def longer_epochs(reading: SweepReading, steps_per_epoch: int) -> int | None:
    """Twice the epochs where the second half of a training still helped some size, else None.

    Models that have learned nothing so far may be on a plateau: they are trained on. So are those
    of which a larger one keeps less than a smaller one, where no size is shown to be enough.

    Args:
        reading: measurements at half of the training and at its end.
        steps_per_epoch: steps of an epoch, for the longest training that is tried.
    """
    undecided = decided_bounds(reading).sufficient is None
    worse = undecided and bool(keep_less(reading.imbalance).any())
    helped = not reading.has_learned or worse or sizes_that_still_improve(reading)
    more = 2 * reading.epoch
    return more if helped and more * steps_per_epoch <= MOST_STEPS else None
