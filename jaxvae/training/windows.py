"""Runs of steps, each long enough to report on, and what is saved on the way."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float

from jaxvae.training.batches import Batches
from jaxvae.training.signals import heard, heed

# Seconds of steps between two reports: long against the call, short for an eye.
_REPORT_SECONDS = 0.5
# Seconds of work that a kill may cost: long against the time to save a state.
_SAVE_SECONDS = 300.0


class Window(NamedTuple):
    """Some steps of a run: where it stands after them, and what they gave.

    Attributes:
        state: after the last step.
        total: loss and terms, summed over the steps.
        last: loss and terms of the last step.
    """

    state: Any
    total: tuple[Float[Array, "*members"], NamedTuple]
    last: tuple[Float[Array, "*members"], NamedTuple]


def windows(
    run: Callable[[Any, Batches, int], Window],
    pieces: Generator[tuple[range, Batches], None, None],
    state: Any,
    saver: Callable[[Any], None],
) -> Iterator[tuple[Window, int, float]]:
    """Runs of steps, none over the end of a piece, each long enough to report on.

    Args:
        run: `(state, batches, count) -> Window`.
        pieces: steps, one piece after the other, and their batches.
        state: where to start.
        saver: of `saving`; is told every state.

    Yields:
        A window, its steps, and the seconds that it took.
    """
    patience, begun = 1, time.perf_counter()
    with closing(pieces):
        for steps, batches in pieces:
            step = steps.start
            while step < steps.stop:
                count = min(patience, steps.stop - step)
                window = jax.block_until_ready(run(state, batches, count))
                # With the time that a piece was waited for, without that of reports and saves.
                seconds = time.perf_counter() - begun
                state, step = window.state, step + count
                yield window, count, seconds
                saver(state)
                heed()
                patience = max(1, min(2 * patience, int(count * _REPORT_SECONDS / seconds)))
                begun = time.perf_counter()


@contextmanager
def saving(save: Callable[[Any], None]) -> Iterator[Callable[[Any], None]]:
    """Saves every five minutes, and the latest state when a KeyboardInterrupt comes."""
    latest, saved = None, time.perf_counter()

    def saver(state: Any) -> None:
        nonlocal latest, saved
        latest = state
        if time.perf_counter() - saved > _SAVE_SECONDS:
            save(state)
            saved = time.perf_counter()

    try:
        yield saver
    except KeyboardInterrupt:
        heard()
        if latest is not None:
            save(latest)
        raise
