"""Runs of steps, each long enough to report on, and what is saved on the way."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float

from jaxvae.training.batches import Batches
from jaxvae.training.processes import from_first, in_any
from jaxvae.training.progress import REPORT_SECONDS
from jaxvae.training.signals import Terminated, clear_pending, postponed, raise_pending

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
    *,
    together: bool = False,
) -> Iterator[tuple[Window, int, float]]:
    """Runs of steps, none over the end of a piece, each long enough to report on.

    Args:
        run: `(state, batches, count) -> Window`.
        pieces: steps, one piece after the other, and their batches.
        state: where to start.
        saver: result of `saving`, which is told every state.
        together: whether several processes do this. Then the first says how many steps a run
            has, and all end after the same one where any of them is told to end.

    Yields:
        A window, its steps, and the seconds that it took.
    """
    patience, begun = 1, time.perf_counter()
    # Within a step, which others wait for, a process that is told to end must not leave.
    waiting: AbstractContextManager[Sequence[int]] = postponed() if together else nullcontext(())
    with closing(pieces), waiting as stop:
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
                raise_pending()
                if together and in_any(bool(stop)):
                    raise Terminated()
                patience = max(1, min(2 * patience, int(count * REPORT_SECONDS / seconds)))
                patience = from_first(patience) if together else patience
                begun = time.perf_counter()


@contextmanager
def saving(
    save: Callable[[Any], None], *, together: bool = False
) -> Iterator[Callable[[Any], None]]:
    """Saves every five minutes, and the latest state when a KeyboardInterrupt comes.

    Args:
        save: is given the state.
        together: whether several processes do this, of which the first knows the time.
    """
    latest, saved = None, time.perf_counter()

    def saver(state: Any) -> None:
        nonlocal latest, saved
        latest = state
        due = time.perf_counter() - saved > _SAVE_SECONDS
        if from_first(due) if together else due:
            save(state)
            saved = time.perf_counter()

    try:
        yield saver
    except KeyboardInterrupt:
        clear_pending()
        if latest is not None:
            save(latest)
        raise
