"""Files in the folder of a sweep that are not needed, and files that are lost."""

from collections.abc import Iterator, Mapping

from jaxvae.files.reading import names_in
from jaxvae.files.words import first_few
from jaxvae.runs import checkpoint
from jaxvae.runs.sweep_run import RUNS, UNITS, Place
from jaxvae.sweeps.claims import holders
from jaxvae.sweeps.sweep import CLAIMS, PART, Sweep
from jaxvae.sweeps.units import is_unit_name


def remarks(sweep: Sweep, places: Mapping[str, Place], *, at_work: bool) -> Iterator[str]:
    """Sentences on files that are lost and files that are not needed.

    Args:
        sweep: sweep of the runs.
        places: places of the runs that are done, by name.
        at_work: whether other processes may be at units that are not known here.
    """
    lost = _lost_models(sweep, places)
    if lost:
        yield (
            f"the models of {len(lost)} of {len(sweep.runs)} runs are lost: {first_few(lost)}. "
            "Their measurements are whole; for the model of a run, remove "
            f"{sweep.out / RUNS}/NAME.npz, and the same command trains it again"
        )
    unneeded = [] if at_work else _unneeded_units(sweep, places)
    if unneeded:
        yield (
            f"not needed in {sweep.out / UNITS}, left by a sweep of other runs: "
            f"{first_few(unneeded)}. Remove them, unless you go back to that sweep"
        )


def _lost_models(sweep: Sweep, places: Mapping[str, Place]) -> list[str]:
    """The names of runs that are done, and whose model is not where it was written.

    Looked for and not read: of one that is damaged, `jaxvae capture` and `report` say so.
    """
    folders = {place.snapshots(sweep.out) for place in places.values()}
    complete = {each for each in folders if sweep.epochs[-1] in checkpoint.steps(each)}
    return [name for name, place in places.items() if place.snapshots(sweep.out) not in complete]


def _unneeded_units(sweep: Sweep, places: Mapping[str, Place]) -> list[str]:
    """The folders under OUT/units with the model of no run, which no unit goes on from.

    As an extension leaves one that was under way: with more runs it is another unit.
    """
    needed = {place.unit for place in places.values()}
    others = sorted(set(names_in(sweep.out / UNITS)) - needed)
    # A command of other runs may be at work.
    own = set(holders(sweep.out / CLAIMS))
    if others and sweep.missing():
        own |= {unit.name for unit in sweep.units}
    units = {name: name.partition(PART)[0] for name in others}
    # Others put files of their own beside them, such as .DS_Store.
    return [name for name, unit in units.items() if is_unit_name(unit) and unit not in own]
