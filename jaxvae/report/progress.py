"""What training shows in the terminal while it runs."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from jaxvae.training.epochs import Progress as Training

# Between two lines of a run that no terminal shows.
_LINE_SECONDS = 60.0


class SweepProgress(NamedTuple):
    """How a sweep tells where it stands.

    Attributes:
        start: `start(name, steps, measurements=0, measuring=0.0)`: a run of so many steps and
            measurements begins; measuring is the share of its time that they take.
        report: a callback for `jaxvae.training.train`.
        note: `note(text)`: what is done besides training, such as measuring.
        measured: `measured()`: one of the measurements is done.
        warn: `warn(text)`: something is wrong with what is trained; the text stays.
        finish: `finish(text)`: the run ended; the text stays in the terminal.
    """

    start: Callable[..., None]
    report: Callable[[Training], None]
    note: Callable[[str], None]
    measured: Callable[[], None]
    warn: Callable[[str], None]
    finish: Callable[[str], None]


@contextmanager
def sweep_progress(console: Console, *, runs: int, unit: str = "runs") -> Iterator[SweepProgress]:
    """A bar for the sweep and one for the current run, with loss, rates and time left.

    Args:
        console: where to draw; the bars are drawn on terminals only, instead of a line a
            minute, the lines of finished runs and warnings everywhere.
        runs: runs in the sweep.
        unit: what a run is called, such as "programs" where each trains several models.
    """
    columns = (
        TextColumn("{task.description:18}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[status]}", style="dim"),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        sweep = bars.add_task("sweep", total=float(runs), status=f"0 of {runs} {unit}")
        current = bars.add_task("", total=None, status="")
        say = _lines(console)
        # In runs: those that are finished, and what is done of the current one.
        done = {"finished": 0.0, "trained": 0.0, "measured": 0.0}
        a_step = a_measurement = 0.0

        def advance() -> None:
            bars.update(sweep, completed=sum(done.values()))
            say(sum(done.values()) / runs)

        def start(name: str, steps: int, measurements: int = 0, measuring: float = 0.0) -> None:
            nonlocal a_step, a_measurement
            a_step, a_measurement = (1 - measuring) / steps, measuring / max(1, measurements)
            bars.reset(current, description=name, total=steps, status="compiling")

        def report(training: Training) -> None:
            bars.update(current, completed=training.step, status=_status(training))
            done["trained"] = training.step * a_step
            advance()

        def note(text: str) -> None:
            bars.update(current, status=text)

        def measured() -> None:
            done["measured"] += a_measurement
            advance()

        def warn(text: str) -> None:
            console.print(text, style="yellow", soft_wrap=True)

        def finish(text: str) -> None:
            done.update(finished=done["finished"] + 1, trained=0.0, measured=0.0)
            advance()
            bars.update(sweep, status=f"{done['finished']:.0f} of {runs} {unit}")
            console.print(text)

        yield SweepProgress(start, report, note, measured, warn, finish)


def _lines(console: Console) -> Callable[[float], None]:
    """Where no terminal shows bars, a line a minute with the share that is done."""
    begun = said = time.perf_counter()

    def say(share: float) -> None:
        nonlocal said
        now = time.perf_counter()
        if not console.is_terminal and now - said > _LINE_SECONDS:
            said = now
            console.print(f"{share:.0%} done after {(now - begun) / 60:.0f} min")

    return say


@contextmanager
def run_progress(
    console: Console, *, first: int, last: int
) -> Iterator[Callable[[Training], None]]:
    """A bar for one run, with loss, terms, speed and time left.

    Where there is no terminal, a line a minute instead.

    Args:
        console: where to draw.
        first: steps that are done.
        last: steps of the run.

    Yields:
        A callback for `jaxvae.training.train`.
    """
    columns = (
        MofNCompleteColumn(),
        BarColumn(bar_width=16),
        TimeRemainingColumn(),
        TextColumn(
            "{task.fields[status]}", style="dim", table_column=Column(no_wrap=True, ratio=1)
        ),
    )
    disable = not console.is_terminal
    said = time.perf_counter()
    with Progress(*columns, console=console, transient=True, disable=disable, expand=True) as bars:
        bar = bars.add_task("", total=last, completed=first, status="compiling")

        def report(training: Training) -> None:
            nonlocal said
            bars.update(bar, completed=training.step, status=_status(training))
            if disable and time.perf_counter() - said > _LINE_SECONDS:
                said = time.perf_counter()
                line = f"step {training.step:,} of {last:,}: {_status(training)}"
                console.print(line, soft_wrap=True)

        yield report


@contextmanager
def count_progress(console: Console, name: str, *, total: int) -> Iterator[Callable[[int], None]]:
    """A bar for work that is counted, on terminals only.

    Yields:
        A callback that is told how much is done.
    """
    columns = (
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        BarColumn(bar_width=24),
        TimeRemainingColumn(),
    )
    disable = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disable) as bars:
        bar = bars.add_task(name, total=total)
        yield lambda done: bars.update(bar, completed=done)


def _status(training: Training) -> str:
    terms = "  ".join(f"{name} {value:.1f}" for name, value in training.terms.items())
    # What a narrow terminal cuts off comes last.
    return f"loss {training.loss:.1f}  {training.images_per_second:,.0f} images/s  {terms}"
