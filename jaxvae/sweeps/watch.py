"""The progress of a sweep that other processes work on, as their files tell."""

import time
from collections.abc import Callable

from rich.console import Console

from jaxvae.report.progress import watched_progress
from jaxvae.sweeps.claims import holders
from jaxvae.sweeps.sweep import CLAIMS, Sweep

_LOOK_SECONDS = 1.0


def watch(sweep: Sweep, console: Console, goes_on: Callable[[], bool]) -> None:
    """Show how far a sweep is for as long as others are at work on it.

    Args:
        sweep: sweep that they work on.
        console: where it is shown.
        goes_on: whether there is anything to wait for; called before every look.
    """
    titles = {unit.name: unit.title for unit in sweep.units}
    with watched_progress(console, units=len(titles)) as show:
        while goes_on():
            at_work = {
                name: (titles[name], holder.share, holder.status)
                for name, holder in holders(sweep.out / CLAIMS).items()
                if name in titles
            }
            show(len(titles) - len(sweep.unfinished()), at_work)
            time.sleep(_LOOK_SECONDS)
