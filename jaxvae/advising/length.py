"""The number of epochs to train for: more until a large model no longer improves."""

import math
from typing import NamedTuple

from jaxvae.advising.criteria import TOLERANCE

# Steps of the shortest training that is tried.
_FIRST_STEPS = 3000
MOST_EPOCHS = 256
"""The longest training that is tried."""


class Trial(NamedTuple):
    """A large model at half of its training and at its end.

    Attributes:
        epochs: number of epochs of the whole training.
        imbalance: Delta(output -> input) of held-out images at half and end.
        has_learned: whether it keeps neighbors of the images at all.
    """

    epochs: int
    imbalance: tuple[float, float]
    has_learned: bool = True


def first_epochs(steps_per_epoch: int) -> int:
    """The least even number of epochs that are 3,000 steps."""
    return min(MOST_EPOCHS, 2 * max(1, math.ceil(_FIRST_STEPS / steps_per_epoch / 2)))


def longer_epochs(trial: Trial) -> int | None:
    """Twice the epochs where the second half of a training still helped, else None.

    It helped where it lowered Delta by more than the share that is worth a larger bottleneck. A
    model that has learned nothing so far may be on a plateau: it is trained on.
    """
    half, end = trial.imbalance
    helped = not trial.has_learned or end < (1 - TOLERANCE) * half
    more = 2 * trial.epochs
    return more if helped and more <= MOST_EPOCHS else None
