"""The progress of a training, and how often it is told."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

# Seconds between two reports: long against a call, short for an eye.
REPORT_SECONDS = 0.5
# Steps that are to take so long may take less, and are not to wait for as many again.
_LEAST_SECONDS = REPORT_SECONDS / 2


class Progress(NamedTuple):
    """The progress of a run, for a progress bar.

    Attributes:
        step: steps taken since the start of the run.
        images_per_second: over the steps since the last report.
        loss: mean over the steps since the last report, nats per image.
        terms: the same for every term, by name.
        failed: members of an ensemble that have stopped.
    """

    step: int
    images_per_second: float
    loss: float
    terms: dict[str, float]
    failed: int = 0


class Stretch(NamedTuple):
    """Some steps of a training: their progress, how many they are, and the seconds they took."""

    progress: Progress
    steps: int
    seconds: float


@contextmanager
def now_and_then(report: Callable[[Progress], None]) -> Iterator[Callable[[Stretch], None]]:
    """Tells of the first stretch at once, of others about twice a second, and of the last.

    Not of the last of a training that is interrupted.

    Args:
        report: is given the progress over all stretches since the one before.
    """
    waiting: list[Stretch] = []
    told = -math.inf

    def tell() -> None:
        nonlocal told
        report(_over(waiting))
        waiting.clear()
        told = time.perf_counter()

    def after(stretch: Stretch) -> None:
        waiting.append(stretch)
        if time.perf_counter() - told >= _LEAST_SECONDS:
            tell()

    yield after
    if waiting:
        tell()


def _over(stretches: list[Stretch]) -> Progress:
    """The progress over all of some stretches."""
    last = stretches[-1].progress
    if len(stretches) == 1:
        return last
    each, counts, seconds = zip(*stretches, strict=True)

    def mean(values: list[float]) -> float:
        return sum(value * count for value, count in zip(values, counts, strict=True)) / sum(counts)

    images = sum(every.progress.images_per_second * every.seconds for every in stretches)
    return last._replace(
        images_per_second=images / sum(seconds),
        loss=mean([progress.loss for progress in each]),
        terms={name: mean([progress.terms[name] for progress in each]) for name in last.terms},
    )
