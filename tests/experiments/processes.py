"""Experiments in processes of their own, stopped on the way."""

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

# A shell that runs the tests in the background has its children ignore Ctrl-C.
HEED = [
    sys.executable,
    "-c",
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execv(sys.argv[1], sys.argv[1:])",
]


def command(name, config, out):
    """The words that run an experiment with these settings."""
    words = [sys.executable, "-m", f"experiments.{name}", "smoke", "--out", str(out)]
    for field in dataclasses.fields(config):
        value, flag = getattr(config, field.name), field.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif field.name == "seeds":
            words += ["--seeds", ",".join(map(str, value))]
        elif value not in (None, ()):
            many = value if isinstance(value, tuple) else (value,)
            words += [f"--{flag}", *map(str, many)]
    return words


def wait_for(condition, process, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended before it could be stopped"
        assert time.monotonic() < end, "the run did not come as far as that"
        time.sleep(0.002)


def stop(words, number, *, after):
    """Start a command and stop it once a file is there: its status, and what it printed."""
    # It reads the programs that are kept and keeps none: a kill may leave half of one.
    own = {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9",
    }
    environment = {**os.environ, **own}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(HEED + words, env=environment, **pipes) as process:
        wait_for(after.exists, process)
        process.send_signal(number)
        shown = process.communicate(timeout=60)[0].decode()
    return process.returncode, shown
