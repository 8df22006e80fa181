"""What a sweep shows in the terminal while it runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from jaxvae.training.epochs import Progress as Training


class SweepProgress(NamedTuple):
    """How a sweep tells where it stands.

    Attributes:
        start: `start(name, steps)`: a run of so many steps begins.
        report: a callback for `jaxvae.training.train`.
        note: `note(text)`: what is done besides training, such as measuring.
        finish: `finish(text)`: the run ended; the text stays in the terminal.
    """

    start: Callable[[str, int], None]
    report: Callable[[Training], None]
    note: Callable[[str], None]
    finish: Callable[[str], None]


@contextmanager
def sweep_progress(console: Console, *, runs: int) -> Iterator[SweepProgress]:
    """A bar for the sweep and one for the current run, with loss, rates and time left.

    Args:
        console: where to draw; the bars are drawn on terminals only, the lines
            of finished runs everywhere.
        runs: runs in the sweep.
    """
    columns = (
        TextColumn("{task.description:18}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[status]}", style="dim"),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        sweep = bars.add_task("sweep", total=float(runs), status=f"0 of {runs} runs")
        current = bars.add_task("", total=None, status="")
        state = {"steps": 1, "done": 0}

        def advance(share: float) -> None:
            bars.update(sweep, completed=state["done"] + share)

        def start(name: str, steps: int) -> None:
            state["steps"] = steps
            bars.reset(current, description=name, total=steps, status="compiling")

        def report(training: Training) -> None:
            terms = "  ".join(f"{name} {value:.1f}" for name, value in training.terms.items())
            speed = f"{training.images_per_second:,.0f} images/s"
            status = f"loss {training.loss:.1f}  {terms}  {speed}"
            bars.update(current, completed=training.step, status=status)
            advance(training.step / state["steps"])

        def note(text: str) -> None:
            bars.update(current, status=text)

        def finish(text: str) -> None:
            state["done"] += 1
            advance(0.0)
            bars.update(sweep, status=f"{state['done']} of {runs} runs")
            console.print(text)

        yield SweepProgress(start, report, note, finish)
