"""The units of a sweep as tasks of a Ray cluster, one for every accelerator or core of it.

A task brings back a word, no arrays: what it made is in files. So one whose node was lost costs
time and nothing else, and the cluster holds nothing that could be lost with it.
"""

import logging
import os
import signal
import socket
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import joblib
import ray
from ray.exceptions import RayTaskError
from rich.console import Console

from jaxvae.ending import SentenceConsole
from jaxvae.report.progress import sweep_progress
from jaxvae.runs.compiled import keep_compiled_programs
from jaxvae.sweeps.job import Job
from jaxvae.sweeps.launch_options import HERE
from jaxvae.sweeps.processes import LOGS
from jaxvae.sweeps.sweep import Sweep
from jaxvae.sweeps.units import Unit
from jaxvae.sweeps.watch import watch
from jaxvae.sweeps.work import do_unit

# Nodes may be lost without limit; of what else may pass by itself, a unit has so many tries.
_TRIES, _MAY_PASS = 3, (OSError, MemoryError, jax.errors.JaxRuntimeError)
# A unit that failed, or that a process outside of the cluster holds, is tried again after this.
_AGAIN_SECONDS = 20.0
# Tasks that are cancelled have so long to write the state of their units.
_END_SECONDS = 60.0
# Variables of this process that decide what a task finds and computes.
_TOLD = ("JAX_", "JAXVAE_", "PJRT_", "TFDS_", "XLA_")
# A cluster of our own keeps so much memory for objects, which are words and need hardly any.
_OBJECT_BYTES = 80 * 10**6


def run_on_ray(job: Job, sweep: Sweep, address: str, console: Console) -> list[Unit]:
    """Do a sweep by the tasks of a Ray cluster, which are shown as they go on.

    All machines of the cluster need the folder of the sweep under the same name, and jaxvae and
    the module of the experiment where this process has them, or installed. What a task says
    is in OUT/workers/HOST-PROCESS.log. Told to end, this process cancels the tasks, which keep
    the state of their units.

    Args:
        job: the sweep, as tasks are told of it.
        sweep: the same.
        address: address of the cluster, as `ray.init` takes it; `HERE` for one of this machine,
            which ends with the sweep.
        console: where it is shown.

    Returns:
        The units that are left: those that failed three times, and what needs them.

    Raises:
        Exception: the first of a task that would come again, such as a `ValueError`.
        ConnectionError: where no cluster answers.
    """
    with _connected(address):
        share = _share(ray.cluster_resources())
        task = ray.remote(max_retries=-1, **share)(_do)
        tasks: dict[ray.ObjectRef, Unit] = {}
        try:
            watch(sweep, console, _steps(sweep, task, job, tasks, console))
        finally:
            for each in tasks:
                ray.cancel(each)
            if tasks:
                ray.wait(list(tasks), num_returns=len(tasks), timeout=_END_SECONDS)
    return sweep.unfinished()


def _steps(
    sweep: Sweep, task: Any, job: Job, tasks: dict[ray.ObjectRef, Unit], console: Console
) -> Callable[[], bool]:
    """A function that collects tasks and hands out units; whether any of them is left to do."""
    tries: Counter[str] = Counter()
    again: defaultdict[str, float] = defaultdict(float)

    def go_on() -> bool:
        ended, _ = ray.wait(list(tasks), num_returns=len(tasks), timeout=0) if tasks else ([], [])
        for each in ended:
            unit = tasks.pop(each)
            again[unit.name] = time.monotonic() + _AGAIN_SECONDS
            failure = _failure(each)
            if failure is not None:
                tries[unit.name] += 1
                console.print(f"{unit.title} failed: {failure}", style="yellow", soft_wrap=True)
        left = [
            unit
            for unit in sweep.unfinished()
            if tries[unit.name] < _TRIES and not sweep.lacks(unit)
        ]
        for unit in left:
            if unit not in tasks.values() and again[unit.name] <= time.monotonic():
                tasks[task.remote(job, unit)] = unit
        return bool(left or tasks)

    return go_on


def _failure(ended: ray.ObjectRef) -> Exception | None:
    """How a task failed, if it may not fail again; None if it did not fail."""
    try:
        ray.get(ended)
    except RayTaskError as error:
        if isinstance(error.cause, _MAY_PASS):
            return error.cause
        # The error itself, without the lines of the process that had it.
        raise error.cause from error
    return None


def _do(job: Job, unit: Unit) -> str:
    """Do a unit as a task, unless it is done or another process is at work on it."""
    keep_compiled_programs()
    _, sweep = job.open()
    log = job.out / LOGS / f"{socket.gethostname()}-{os.getpid()}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    done = len(sweep.units) - len(sweep.unfinished())
    with log.open("a", encoding="utf-8") as file:
        console = SentenceConsole(file=file)
        with sweep_progress(console, units=len(sweep.units), done=done) as progress:
            return "done" if do_unit(sweep, unit, progress) else "left"


def _share(resources: Mapping[str, float]) -> dict[str, Any]:
    """The resources of a task: an accelerator, if the cluster has any, or a core."""
    # JAX keeps an accelerator until its process ends, so that is one for every task.
    alone = {"num_cpus": 0, "max_calls": 1}
    if resources.get("GPU"):
        return {"num_gpus": 1, **alone}
    if resources.get("TPU"):
        return {"resources": {"TPU": 1}, **alone}
    # With as many threads as a process alone has: in other sums records would differ.
    return {"num_cpus": 1}


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """Within the block, a cluster takes tasks, which find what this process finds."""
    cluster: dict[str, Any] = {"address": address}
    if address == HERE:
        # Ray would count cores that this process may not use, and report to its makers.
        cluster = {"address": "local", "num_cpus": joblib.cpu_count(), "include_dashboard": False}
        cluster["object_store_memory"] = _OBJECT_BYTES
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            **cluster,
            runtime_env={"env_vars": _environment()},
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        # Ray ends the process at once where it is told to end.
        signal.signal(signal.SIGTERM, terminated)
        yield
    finally:
        ray.shutdown()


def _environment() -> dict[str, str]:
    """The variables of a task: those of this process that matter, and its paths of modules."""
    variables = {name: value for name, value in os.environ.items() if name.startswith(_TOLD)}
    # What is installed, a task has from its own Python.
    python = {Path(sys.prefix), Path(sys.base_prefix)}
    paths = [Path(path).absolute() for path in sys.path]
    own = [str(path) for path in paths if python.isdisjoint((path, *path.parents))]
    return {**variables, "PYTHONPATH": os.pathsep.join(own)}
