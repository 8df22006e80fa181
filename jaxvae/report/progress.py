"""The progress of training in the terminal."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from jaxvae.training.progress import Progress as Training

# A run that no terminal shows writes a line after so many seconds.
_LINE_SECONDS = 60.0
# Letters of the title of a unit, at most.
_TITLE = 40
# What a title and a status share a line with: a bar, a share, a time and the gaps between them.
_BAR, _BESIDE = 16, 32


class UnitProgress(NamedTuple):
    """Functions by which a unit of work reports its progress.

    Attributes:
        start: `start(steps, measurements)`: so many of both are to come, some of them done.
        report: a callback for `jaxvae.training.train`.
        note: `note(text)`: what is done besides training, such as measuring.
        measured: `measured()`: one of the measurements is done.
        warn: `warn(text)`: something is wrong with what is trained; the text stays.
    """

    start: Callable[[int, int], None]
    report: Callable[[Training], None]
    note: Callable[[str], None]
    measured: Callable[[], None]
    warn: Callable[[str], None]


class SweepProgress(NamedTuple):
    """Functions by which a process that works on a sweep reports its progress.

    Attributes:
        begin: `begin(title, tell, measuring=0.0)`: a unit begins, of which measurements are
            this share of the time; `tell(share, status)` is called as it goes on.
        finish: `finish(done, text)`: it ended, and so many units are done now, by whomever;
            the text stays in the terminal.
        note: `note(text)`: what is waited for between units.
    """

    begin: Callable[..., UnitProgress]
    finish: Callable[[int, str], None]
    note: Callable[[str], None]


@contextmanager
def sweep_progress(console: Console, *, units: int, done: int = 0) -> Iterator[SweepProgress]:
    """A bar for the sweep and one for the current unit, with loss, rates and time left.

    Args:
        console: where to draw; the bars are drawn on terminals only, instead of a line a
            minute, the lines of finished units and warnings everywhere.
        units: in the sweep.
        done: units that are done before this process begins.
    """
    with Progress(*_columns(), console=console, transient=True, expand=True) as bars:
        sweep = bars.add_task("sweep", total=float(units), completed=done, status="")
        current = bars.add_task("", total=None, status="")
        say, finished, letters = _lines(console), float(done), _letters(console)

        def advance(share: float) -> None:
            bars.update(
                sweep, completed=finished + share, status=f"{finished:.0f} of {units} units"
            )
            say((finished + share) / units)

        def begin(
            title: str, tell: Callable[[float, str], None], measuring: float = 0.0
        ) -> UnitProgress:
            counts = {"steps": 1, "measurements": 1, "step": 0, "measured": 0}
            status = "compiling"

            def show(text: str) -> None:
                nonlocal status
                status = text
                trained = counts["step"] / counts["steps"] * (1 - measuring)
                share = trained + counts["measured"] / counts["measurements"] * measuring
                bars.update(current, completed=counts["step"], status=status)
                advance(min(share, 1.0))
                tell(share, status)

            def start(steps: int, measurements: int) -> None:
                counts.update(steps=max(1, steps), measurements=max(1, measurements))
                bars.reset(current, description=_shortened(title, letters), total=steps)
                show(status)

            def report(training: Training) -> None:
                counts["step"] = training.step
                show(_status(training))

            def measured() -> None:
                counts["measured"] += 1
                show(status)

            def warn(text: str) -> None:
                console.print(text, style="yellow", soft_wrap=True)

            bars.reset(current, description=_shortened(title, letters), total=None)
            show(status)
            return UnitProgress(start, report, show, measured, warn)

        def finish(done: int, text: str) -> None:
            nonlocal finished
            finished = float(done)
            advance(0.0)
            console.print(text, soft_wrap=True)

        def note(text: str) -> None:
            bars.reset(current, description="waiting", total=None, status=text)

        advance(0.0)
        yield SweepProgress(begin, finish, note)


@contextmanager
def watched_progress(
    console: Console, *, units: int
) -> Iterator[Callable[[int, Mapping[str, tuple[str, float, str]]], None]]:
    """A bar for a sweep that other processes work on, and one for each unit at work.

    Where there is no terminal, a line a minute instead.

    Args:
        console: where to draw.
        units: in the sweep.

    Yields:
        `show(done, at_work)`: so many units are done; those at work have, by name, a title, the
        share that is done and what is being done.
    """
    with Progress(*_columns(), console=console, transient=True, expand=True) as bars:
        sweep, say = bars.add_task("sweep", total=float(units), status=""), _lines(console)
        shown: dict[str, TaskID] = {}
        letters = _letters(console)

        def show(done: int, at_work: Mapping[str, tuple[str, float, str]]) -> None:
            completed = done + sum(share for _, share, _ in at_work.values())
            bars.update(sweep, completed=completed, status=f"{done} of {units} units")
            for name in shown.keys() - at_work.keys():
                bars.remove_task(shown.pop(name))
            for name, (title, share, status) in at_work.items():
                if name not in shown:
                    shown[name] = bars.add_task(_shortened(title, letters), total=1.0, status="")
                bars.update(shown[name], completed=share, status=status)
            say(completed / units)

        yield show


def _letters(console: Console) -> int:
    """How many letters of a title there is room for, beside a status half as long again."""
    return max(1, min(_TITLE, 2 * (console.width - _BESIDE) // 5))


def _shortened(title: str, letters: int) -> str:
    """A title without its middle, where it is long: it ends with what differs from others."""
    if len(title) <= letters:
        return title
    gap = "..."
    beginning = letters // 4
    return f"{title[:beginning]}{gap}{title[beginning + len(gap) - letters :]}"


def _columns() -> tuple[ProgressColumn, ...]:
    """Where a terminal is narrow, words give way to the bar, the share and the time left."""
    return (
        TextColumn("{task.description}", table_column=Column(no_wrap=True, ratio=2)),
        BarColumn(bar_width=_BAR),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn(
            "{task.fields[status]}", style="dim", table_column=Column(no_wrap=True, ratio=3)
        ),
    )


def _lines(console: Console) -> Callable[[float], None]:
    """A function that, where there is no terminal, prints a line a minute with the share done."""
    begun = shown_at = time.perf_counter()

    def say(share: float) -> None:
        nonlocal shown_at
        now = time.perf_counter()
        if not console.is_terminal and now - shown_at > _LINE_SECONDS:
            shown_at = now
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
        TextColumn("steps"),
        BarColumn(bar_width=16),
        TimeRemainingColumn(),
        TextColumn(
            "{task.fields[status]}", style="dim", table_column=Column(no_wrap=True, ratio=1)
        ),
    )
    disable = not console.is_terminal
    shown_at = time.perf_counter()
    with Progress(*columns, console=console, transient=True, disable=disable, expand=True) as bars:
        bar = bars.add_task("", total=last, completed=first, status="compiling")

        def report(training: Training) -> None:
            nonlocal shown_at
            bars.update(bar, completed=training.step, status=_status(training))
            if disable and time.perf_counter() - shown_at > _LINE_SECONDS:
                shown_at = time.perf_counter()
                line = f"step {training.step:,} of {last:,}: {_status(training)}"
                console.print(line, soft_wrap=True)

        yield report


@contextmanager
def share_progress(console: Console) -> Iterator[Callable[[float, str], None]]:
    """A bar for work of which a share is done, with the time left, on terminals only.

    Yields:
        A callback that is told the share that is done, and what is being done.
    """
    columns = (
        TextColumn("{task.description:24}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    disable = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disable) as bars:
        bar = bars.add_task("reading", total=1.0)
        yield lambda share, doing: bars.update(bar, completed=share, description=doing)


def _status(training: Training) -> str:
    terms = "  ".join(f"{name} {value:.1f}" for name, value in training.terms.items())
    # What a narrow terminal cuts off comes last.
    return f"loss {training.loss:.1f}  {training.images_per_second:,.0f} images/s  {terms}"
