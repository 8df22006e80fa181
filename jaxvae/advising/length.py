"""For how many epochs to train: until the curves of a large model say that they are done."""

import math
from typing import NamedTuple

# What one more doubling of the epochs has to lower, to be worth it: the cost of held-out images,
# and their Delta, which differs more between trainings.
_COST, _IMBALANCE = 0.05, 1 / 3
# Steps of the shortest training that is tried.
_FIRST_STEPS = 600
MOST_EPOCHS = 256
"""The longest training that is tried."""


class Trial(NamedTuple):
    """A large model at half of its training and at its end.

    Attributes:
        epochs: of the whole training.
        cost: negative ELBO of held-out images at half and end.
        imbalance: Delta(output -> input) at half and end.
        has_learned: whether it keeps neighbors of the images at all.
    """

    epochs: int
    cost: tuple[float, float]
    imbalance: tuple[float, float]
    has_learned: bool = True


def first_epochs(steps_per_epoch: int) -> int:
    """The least even number of epochs that are some hundred steps."""
    return min(MOST_EPOCHS, 2 * max(1, math.ceil(_FIRST_STEPS / steps_per_epoch / 2)))


def longer_epochs(trial: Trial) -> int | None:
    """Twice the epochs where the second half of a training still helped, else None.

    It helped where it lowered the cost by more than 5% or Delta by more than a third. A model that
    has learned nothing so far may be on a plateau: it is trained on.
    """
    (half, end), (half_lost, lost) = trial.cost, trial.imbalance
    helped = not trial.has_learned
    helped |= (half - end > _COST * abs(half)) | (half_lost - lost > _IMBALANCE * half_lost)
    more = 2 * trial.epochs
    return more if helped and more <= MOST_EPOCHS else None
