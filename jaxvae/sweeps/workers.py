"""Processes of this machine that share a sweep, one a device where there are several."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.context import SpawnProcess
from pathlib import Path

from rich.console import Console

from jaxvae.report.ending import end_process, status_of
from jaxvae.report.progress import sweep_progress
from jaxvae.sweeps.job import Job
from jaxvae.sweeps.sweep import Sweep
from jaxvae.sweeps.units import Unit
from jaxvae.sweeps.watch import watch
from jaxvae.sweeps.work import work

LOGS = "workers"
# Time for a process that receives SIGTERM: the state of its unit is written.
_END_SECONDS = 60.0


def run_workers(job: Job, sweep: Sweep, count: int, console: Console) -> list[Unit]:
    """Do a sweep by so many processes, which are shown as they go on.

    What a process that ends before its time leaves behind, the others do. Each writes what it
    says to OUT/workers/NUMBER.log.

    Returns:
        The units that are left, when no process is.
    """
    devices = _devices()
    context = multiprocessing.get_context("spawn")
    workers: list[SpawnProcess] = []
    try:
        for number in range(count):
            # On CPU with as many threads as a process alone has: in other sums records would
            # differ.
            worker = context.Process(target=_work, args=(job, number), daemon=True)
            environment = _environment(devices, number, count)
            with _environment_variables(environment), _ignoring_interrupts():
                worker.start()
                workers.append(worker)
        watch(sweep, console, lambda: any(worker.is_alive() for worker in workers))
    except BaseException:
        for worker in workers:
            worker.terminate()
        end = time.monotonic() + _END_SECONDS
        for worker in workers:
            worker.join(max(0.0, end - time.monotonic()))
            # What does not hear loses no more than it has done since it last kept its state.
            worker.kill()
        raise
    for number, worker in enumerate(workers):
        if worker.exitcode:
            log = job.out / LOGS / f"{number}.log"
            console.print(
                f"process {number} ended with status {worker.exitcode}: {_last_line(log)} ({log})",
                soft_wrap=True,
            )
    return sweep.unfinished()


def _work(job: Job, number: int) -> None:
    """The work of a process: all units that no other process is at, until none is left."""

    def do(console: Console, errors: Console) -> None:
        _, sweep = job.open()
        names = {unit.name for unit in sweep.units}
        done = len(names) - len(sweep.unfinished())
        with sweep_progress(console, units=len(names), done=done) as progress:
            work(sweep, names, progress, wait=True)

    log = job.out / LOGS / f"{number}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        status = status_of(do, after_interruption="The same command continues where it stopped.")
        raise SystemExit(end_process(status))


def _last_line(log: Path) -> str:
    """The last line that a process printed, if it printed any."""
    with suppress(OSError, IndexError):
        return log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1]
    return "it printed nothing"


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Within the block, started processes ignore Ctrl-C: this process ends them."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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


@contextmanager
def _environment_variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Within the block, processes that are started have these variables."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
