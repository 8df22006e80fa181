"""Units of a sweep, done one after another by this process, beside others that do the same."""

import time
from collections.abc import Collection

from jaxvae.report.progress import SweepProgress, UnitProgress
from jaxvae.sweeps.claims import claim
from jaxvae.sweeps.estimate import seconds_of
from jaxvae.sweeps.members import train_unit
from jaxvae.sweeps.records import read_run, write_arrays
from jaxvae.sweeps.sweep import CLAIMS, MADE_OF, Sweep
from jaxvae.sweeps.units import Unit

# Between two looks at whether others are done with what they hold.
_WAIT_SECONDS = 2.0


def work(
    sweep: Sweep, names: Collection[str], progress: SweepProgress, *, wait: bool
) -> list[Unit]:
    """Do units until none of them is left that nobody else is at.

    A unit that needs others is done once they are, by the process that finds them done.

    Args:
        sweep: to work on.
        names: of the units that this process may do.
        progress: shown to the user.
        wait: whether to wait for other processes also with what needs other units, and do
            what they leave behind. What needs none is always waited for: a process that was
            killed may hold it a while, on disks without locks.

    Returns:
        The units among them that are not done.
    """
    while True:
        left = [unit for unit in sweep.unfinished() if unit.name in names]
        ready = [unit for unit in left if not sweep.lacks(unit)]
        did = [unit for unit in ready if do_unit(sweep, unit, progress)]
        waited_for = wait or any(not unit.needs for unit in left)
        if not left or not (did or waited_for):
            return left
        if not did:
            progress.note(f"for {len(left)} units that other processes are at")
            time.sleep(_WAIT_SECONDS)


def do_unit(sweep: Sweep, unit: Unit, progress: SweepProgress) -> bool:
    """Do a unit, unless it is done or another process is at it; whether this process did it."""
    with claim(sweep.out / CLAIMS, unit.name) as tell:
        if tell is None or unit not in sweep.unfinished():
            return False
        begun = time.perf_counter()
        told = progress.begin(unit.title, tell, seconds_of(sweep, unit).measuring_share)
        lines = _make(sweep, unit, told) if unit.needs else _train(sweep, unit, told)
    seconds = time.perf_counter() - begun
    done = len(sweep.units) - len(sweep.unfinished())
    progress.finish(done, "\n  ".join([f"{unit.title}: {seconds:.0f} s", *lines]))
    return True


def _train(sweep: Sweep, unit: Unit, progress: UnitProgress) -> list[str]:
    names = train_unit(sweep, unit, progress)
    return [sweep.describe(name, read_run(sweep.out, name)) for name in names]


def _make(sweep: Sweep, unit: Unit, progress: UnitProgress) -> list[str]:
    (made,) = (each for each in sweep.afterwards if each.unit == unit)
    progress.note("beginning")
    arrays = made.make(progress.note)
    made.file.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(made.file, {**arrays, MADE_OF: unit.name}, scratch=made.file.parent)
    return []
