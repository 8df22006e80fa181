"""The smallest sweep in processes of its own."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.experiments.processes import HEED

COMMAND = [sys.executable, "-m", "tests.sweeps.smallest"]


def start(out, *words, command=COMMAND, **options):
    """The process, which hears Ctrl-C and whose output is one."""
    # It reads the programs that are kept and keeps none: a kill may leave half of one.
    own = {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9",
    }
    return subprocess.Popen(
        [*HEED, *command, "--out", str(out), *words],
        env={**os.environ, **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def end(process, seconds=600):
    """Status and output of a process."""
    with process:
        shown = process.communicate(timeout=seconds)[0]
    return process.returncode, shown


def wait_for(condition, seconds=600):
    """What the condition gives once it gives something."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not come as far as that"
        time.sleep(0.002)
    return found
