"""Commands in processes of their own, ended or stopped on the way."""

import os
import subprocess
import sys
import time
from pathlib import Path

# A shell that runs the tests in the background has its children ignore Ctrl-C.
_HEED = [
    sys.executable,
    "-c",
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execv(sys.argv[1], sys.argv[1:])",
]


def start(command, out, *words):
    """The process, which hears Ctrl-C and whose output is one."""
    # It reads the programs that are kept and keeps none: a kill may leave half of one.
    own = {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9",
    }
    return subprocess.Popen(
        [*_HEED, *command, "--out", str(out), *words],
        env={**os.environ, **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process, seconds=600):
    """Status and output of a process."""
    with process:
        shown = process.communicate(timeout=seconds)[0]
    return process.returncode, shown


def stop(command, out, number, *, after, wait=0.0):
    """Status and output of a process that is told to end once a file is there, or later."""
    with start(command, out) as process:
        wait_for(lambda: (out / after).exists() or process.poll() is not None)
        time.sleep(wait)
        process.send_signal(number)
        return end(process, seconds=120)


def wait_for(condition, seconds=600):
    """What the condition gives once it gives something."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not come as far as that"
        time.sleep(0.002)
    return found
