"""Units of a sweep, done one after another by this process, beside others that do the same."""

import logging
import time
from collections.abc import Callable, Collection
from functools import partial

from jaxvae.report.progress import SweepProgress, UnitProgress
from jaxvae.runs.provenance import noted
from jaxvae.sweeps.claims import LostError, claim
from jaxvae.sweeps.estimate import seconds_of
from jaxvae.sweeps.records import read_run, write_arrays
from jaxvae.sweeps.sweep import CLAIMS, MADE_OF, Sweep
from jaxvae.sweeps.unit_training import tidy_unit, train_unit
from jaxvae.sweeps.units import Unit

# Whether others are done with what they hold is looked at after every so many seconds.
_WAIT_SECONDS = 2.0

_logger = logging.getLogger("jaxvae")

# The last step of a unit: until then it is not done, and whoever finds it goes on.
Finish = Callable[[], None]


def work(
    sweep: Sweep, names: Collection[str], progress: SweepProgress, *, wait: bool
) -> list[Unit]:
    """Do units until all of them are done, by this process or by others.

    A unit that needs others is done once they are, by the process that finds them done.

    Args:
        sweep: to work on.
        names: names of the units that this process may do.
        progress: shown to the user.
        wait: whether also to wait for what units need that are not among them.

    Returns:
        The units among them that are not done: some that need others, without `wait`.
    """
    while True:
        left = [unit for unit in sweep.unfinished() if unit.name in names]
        if not (left if wait else [unit for unit in left if not sweep.lacks(unit)]):
            return left
        did = [unit for unit in left if not sweep.lacks(unit) and do_unit(sweep, unit, progress)]
        if not did:
            progress.note(f"for {len(left)} units that other processes are at")
            time.sleep(_WAIT_SECONDS)


def do_unit(sweep: Sweep, unit: Unit, progress: SweepProgress) -> bool:
    """Do a unit, unless it is done or another process is at it; whether this process did it.

    Raises:
        OSError: as what is written cannot be, or where it is not found again.
    """
    if sweep.is_done(unit):
        return False
    try:
        with claim(sweep.out / CLAIMS, unit.name) as tell:
            # Again: whoever held it may have done it.
            if tell is None or sweep.is_done(unit):
                return False
            begun = time.perf_counter()
            shown = progress.begin(unit.title, tell, seconds_of(sweep, unit).measuring_share)
            with noted(sweep.out, unit.name, sweep.command):
                do = _make if unit.needs else _train
                lines, finish = do(sweep, unit, shown)
            # Once it is noted: a unit that is done is never without a word on what made it.
            finish()
            if not sweep.is_done(unit):
                raise OSError(
                    f"expected to find the records of {unit.title} as written, found others"
                )
    except LostError as error:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        _logger.warning("%s%s: the unit is left to the process that has it", error, cause)
        return False
    seconds = time.perf_counter() - begun
    done = len(sweep.units) - len(sweep.unfinished())
    progress.finish(done, "\n  ".join([f"{unit.title}: {seconds:.0f} s", *lines]))
    return True


def _train(sweep: Sweep, unit: Unit, progress: UnitProgress) -> tuple[list[str], Finish]:
    names = train_unit(sweep, unit, progress)
    lines = [sweep.describe(name, read_run(sweep.out, name)) for name in names]
    return lines, partial(tidy_unit, sweep, unit)


def _make(sweep: Sweep, unit: Unit, progress: UnitProgress) -> tuple[list[str], Finish]:
    (made,) = (each for each in sweep.afterwards if each.unit == unit)
    progress.note("beginning")
    arrays = {**made.make(progress.note), MADE_OF: unit.name}
    made.file.parent.mkdir(parents=True, exist_ok=True)
    return [], partial(write_arrays, made.file, arrays, scratch=made.file.parent)
