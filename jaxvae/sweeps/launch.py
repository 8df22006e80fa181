"""The ways to do a sweep: all in this process, a share of it, processes here, Ray, or a report."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from jaxvae.data.names import refuse_among_images
from jaxvae.files.words import counted, first_few
from jaxvae.memory import GIBIBYTE
from jaxvae.report.progress import sweep_progress
from jaxvae.runs.config import IMAGES
from jaxvae.runs.folder import (
    UnfinishedError,
    as_json,
    refuse_other_results,
    refuse_other_settings,
    stored_settings,
    write_settings,
)
from jaxvae.runs.images import known_images
from jaxvae.runs.run import RUN_FILE
from jaxvae.runs.sweep_run import SWEEP_FILE, Place, read_settings_of, run_file
from jaxvae.sweeps.claims import holders
from jaxvae.sweeps.estimate import seconds_of, time_in_words
from jaxvae.sweeps.job import Experiment, Job
from jaxvae.sweeps.launch_options import Launch
from jaxvae.sweeps.leftovers import remarks
from jaxvae.sweeps.records import done_runs
from jaxvae.sweeps.sweep import CLAIMS, Sweep
from jaxvae.sweeps.unit_training import refuse_large_unit
from jaxvae.sweeps.units import Unit
from jaxvae.sweeps.work import work
from jaxvae.sweeps.workers import run_workers
from jaxvae.training.mesh import chosen_devices

# The number is raised when the files of a sweep are no longer read as they were.
_LAYOUT = {"layout": 3}


def run(job: Job, launch: Launch, console: Console) -> None:
    """Do a sweep as it was asked for.

    Everything that can be refused is, before anything is written.

    Raises:
        UnfinishedError: where units are left that could not be done.
        ValueError: for settings that make no sense, or others than those of the folder.
        OSError: where the folder cannot be written.
    """
    file = job.out / SWEEP_FILE
    refuse_other_results(job.out / RUN_FILE, "`jaxvae train`")
    stored = stored_settings(file)
    _refuse_earlier(job.out, stored)
    if job.members is None:
        # A folder keeps the units that it was begun with.
        job = job._replace(members=stored.get("members"))
    experiment, sweep = job.open()
    for data in {config.data for config in sweep.runs.values()}:
        refuse_among_images(job.out, data)
    sweep = dataclasses.replace(sweep, mesh=chosen_devices(launch.devices))
    settings = as_json(dataclasses.asdict(job.config) | {"members": job.members} | _LAYOUT)
    extendable = (*experiment.extendable, IMAGES)
    refuse_other_settings(file, stored, settings, extendable=extendable)
    places = _places_of_runs(sweep)
    for remark in remarks(sweep, places, at_work=launch.report and bool(sweep.missing())):
        console.print(remark, style="yellow", soft_wrap=True)
    if launch.report:
        _report(experiment, job, sweep, console)
        return
    unfinished = sweep.unfinished()
    if unfinished:
        experiment.check(job.config)
        settings |= _images(file, stored, sweep)
    elif stored.get(IMAGES):
        settings[IMAGES] = stored[IMAGES]
    if launch.plan:
        _print_plan(sweep, unfinished, console)
        return
    if stored != settings:
        # Of devices that are left to other processes nothing is known here. The largest models come
        # first: what fits for them fits for all.
        trained = [] if launch.on_host else [unit for unit in unfinished if unit.runs]
        for unit in sorted(trained, key=lambda unit: -unit.bytes / len(unit.runs)):
            refuse_large_unit(sweep, unit)
        write_settings(file, settings)
    if unfinished:
        _announce(sweep, unfinished, launch, console)
        left = _do(job, sweep, launch, console)
        if launch.shard:
            _say_left(sweep, console)
            return
        if left:
            raise UnfinishedError(f"{len(left)} units are left; the same command does them")
    _report(experiment, job, sweep, console)


def _images(file: Path, stored: Mapping[str, Any], sweep: Sweep) -> dict[str, Any]:
    """The images that the runs are trained on; it is an error if they have changed."""
    datasets = {id(data): data for data in map(sweep.load, sweep.runs.values())}
    known = known_images(file, stored, datasets.values())
    return {IMAGES: known} if known else {}


def _do(job: Job, sweep: Sweep, launch: Launch, console: Console) -> list[Unit]:
    """Do all units, or those of the shard; those that are left."""
    if launch.workers:
        return run_workers(job, sweep, launch.workers, console)
    if launch.ray:
        # Ray takes seconds to import, and may not be installed.
        from jaxvae.sweeps.ray_cluster import run_on_ray  # noqa: PLC0415

        return run_on_ray(job, sweep, launch.ray, console)
    chosen, units = _chosen(sweep.units, launch.shard), len(sweep.units)
    done = units - len(sweep.unfinished())
    with sweep_progress(console, units=units, done=done) as progress:
        return work(sweep, chosen, progress, wait=launch.shard is None)


def _chosen(units: Iterable[Unit], shard: tuple[int, int] | None) -> set[str]:
    """Names of the units of a shard; what needs others may be done by any."""
    every = list(units)
    if shard is None:
        return {unit.name for unit in every}
    first, count = shard
    own = [unit for unit in every if not unit.needs][first::count]
    return {unit.name for unit in (*own, *(unit for unit in every if unit.needs))}


def _report(experiment: Experiment, job: Job, sweep: Sweep, console: Console) -> None:
    missing = sweep.missing()
    if len(missing) == len(sweep.runs):
        raise ValueError(f"expected runs in {job.out} to report on, found none")
    if missing:
        console.print(
            f"{len(missing)} of {len(sweep.runs)} runs are not done, and missing below: "
            f"{first_few(missing)}",
            soft_wrap=True,
        )
    lacking = [each.title for each in sweep.afterwards if not each.is_done]
    if lacking:
        console.print(
            f"comparisons that are not done, and missing below: {'; '.join(lacking)}",
            soft_wrap=True,
        )
    experiment.report(job.config, sweep, console)


def _places_of_runs(sweep: Sweep) -> dict[str, Place]:
    """The places of the models of finished runs; records of other settings are refused."""
    places = {}
    for name in sorted(done_runs(sweep.out, sweep.runs)):
        file = run_file(sweep.out, name)
        recorded, places[name] = read_settings_of(file)
        recorded.pop("image_shape", None)
        wanted = as_json(dataclasses.asdict(sweep.runs[name]))
        other = sorted(key for key in {*recorded, *wanted} if recorded.get(key) != wanted.get(key))
        if other:
            raise ValueError(
                f"expected in {file} a run with {other[0]} {wanted.get(other[0])}, got one with "
                f"{recorded.get(other[0])}; choose another --out"
            )
    return places


def _refuse_earlier(out: Path, stored: Mapping[str, Any]) -> None:
    """Refuse a folder whose files are not laid out as they are now."""
    if stored and stored.get("layout") != _LAYOUT["layout"]:
        raise ValueError(
            f"expected results that this version of jaxvae made, got those of another one in "
            f"{out}, which has its files in other places; choose another --out"
        )


def _announce(sweep: Sweep, unfinished: list[Unit], launch: Launch, console: Console) -> None:
    runs, units = len(sweep.missing()), len(unfinished)
    time = ""
    # Where devices are left to other processes, nothing is known of them here.
    if not launch.on_host:
        time = f"{time_in_words(seconds_of(sweep, each) for each in unfinished)}; "
    console.print(
        f"{runs} of {len(sweep.runs)} runs to do, in {counted(units, 'unit')}; {time}"
        f"results in {sweep.out}",
        soft_wrap=True,
    )
    processes = launch.workers or (launch.shard or (0, 1))[1]
    shared = sum(not unit.needs for unit in sweep.units)
    if shared < processes:
        console.print(
            f"{counted(shared, 'unit')} for {processes} processes, so that some "
            "have nothing to do; in a new folder, a smaller --members makes more units",
            style="yellow",
            soft_wrap=True,
        )


def _say_left(sweep: Sweep, console: Console) -> None:
    left = len(sweep.unfinished())
    if left:
        units, they = ("unit is", "it is") if left == 1 else ("units are", "they are")
        console.print(
            f"this share is done; {left} {units} left to other shares. When {they} done, "
            "--report draws the results",
            soft_wrap=True,
        )


def _print_plan(sweep: Sweep, unfinished: list[Unit], console: Console) -> None:
    table, at_work = Table(box=None), holders(sweep.out / CLAIMS)
    for name in ("unit", "runs", "GiB", "minutes", "state"):
        count = name in ("runs", "GiB", "minutes")
        table.add_column(name, justify="right" if count else "left", no_wrap=True)
    table.add_column("what")
    for unit in sweep.units:
        minutes = sum(seconds_of(sweep, unit)) / 60
        state = "done"
        if unit in unfinished:
            state = "needs others" if sweep.lacks(unit) else "to do"
        if unit in unfinished and unit.name in at_work:
            holder = at_work[unit.name]
            state = f"{holder.share:.0%} by {holder.process}@{holder.host}"
        size = f"{unit.bytes / GIBIBYTE:.2g}" if unit.runs else ""
        cost = f"{minutes:.1f}" if unit.runs else ""
        table.add_row(unit.name, str(len(unit.runs) or ""), size, cost, state, unit.title)
    console.print(table)
    console.print(
        f"{len(unfinished)} of {len(sweep.units)} units to do, "
        f"{time_in_words(seconds_of(sweep, unit) for unit in unfinished)} for one process; GiB are "
        "those of the parameters and the optimizer",
        soft_wrap=True,
    )
