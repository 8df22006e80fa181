"""Processes of this machine that share a sweep, one a device where there are several."""

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path

from rich.console import Console

from jaxvae.report.progress import sweep_progress
from jaxvae.sweeps.job import Job
from jaxvae.sweeps.processes import child_processes
from jaxvae.sweeps.sweep import Sweep
from jaxvae.sweeps.units import Unit
from jaxvae.sweeps.watch import watch
from jaxvae.sweeps.work import work


def run_workers(job: Job, sweep: Sweep, count: int, console: Console) -> list[Unit]:
    """Do a sweep by so many processes, which are shown as they go on.

    What a process that ends before its time leaves behind, the others do.

    Returns:
        The units that are left, when no process is.
    """
    devices = _devices()
    environments = [_environment(devices, number, count) for number in range(count)]
    with _at_work(job, environments, console) as started:
        watch(sweep, console, lambda: any(process.is_alive() for process in started))
    return sweep.unfinished()


def helpers(job: Job, count: int, console: Console) -> AbstractContextManager[object]:
    """Within the block, so many processes do units beside this one; at its end they end."""
    return _at_work(job, [{}] * count, console)


def _at_work(
    job: Job, environments: Sequence[Mapping[str, str]], console: Console
) -> AbstractContextManager[Sequence[SpawnProcess]]:
    # On CPU with as many threads as a process alone has: in other sums records would differ.
    do = partial(_work, job)
    return child_processes(do, out=job.out, environments=environments, console=console)


def _work(job: Job, *, console: Console) -> None:
    """The work of a process: all units that no other process is at, until none is left."""
    _, sweep = job.open()
    names = {unit.name for unit in sweep.units}
    done = len(names) - len(sweep.unfinished())
    with sweep_progress(console, units=len(names), done=done) as progress:
        work(sweep, names, progress, wait=True)


def _devices() -> Mapping[str, Sequence[str]]:
    """Accelerators of this machine, by the variable that chooses among them.

    Found without JAX, which would take all of them for this process.
    """
    gpus = sorted(Path("/proc/driver/nvidia/gpus").glob("*"))
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(index) for index in range(len(gpus))]
    if chosen is not None:
        names = [name for name in chosen.split(",") if name]
    chips = [str(index) for index in range(len(list(Path("/dev").glob("accel*"))))]
    return {"CUDA_VISIBLE_DEVICES": names if gpus else [], "TPU_VISIBLE_CHIPS": chips}


def _environment(devices: Mapping[str, Sequence[str]], number: int, count: int) -> dict[str, str]:
    """The variables that give a process a device, or its part of one."""
    variables: dict[str, str] = {}
    for variable, names in devices.items():
        if names:
            variables[variable] = names[number % len(names)]
            share = -(-count // len(names))
            if share > 1:
                variables["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 / share:.2f}"
    if devices["TPU_VISIBLE_CHIPS"]:
        variables |= {"TPU_CHIPS_PER_PROCESS_BOUNDS": "1,1,1", "TPU_PROCESS_BOUNDS": "1,1,1"}
    return variables
