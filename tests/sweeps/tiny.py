"""A sweep in processes of its own that has all parts of one and takes seconds."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from experiments.bottleneck import PRESETS
from experiments.command import _parse
from jaxvae.sweeps.launch import Job

CLONE = Path(__file__).parents[2]
# Two units of a run each, and one that needs both.
SETTINGS = (
    *("-m", "experiments.bottleneck", "smoke", "--data", "sprites", "--image-size", "16"),
    *("--train-size", "512", "--test-size", "200", "--points", "100", "--widths", "16"),
    *("--bottlenecks", "2", "3", "--seeds", "0", "--epochs", "12", "--snapshots", "0", "1"),
    *("--batch-size", "64", "--members", "1"),
)
RUNS = ("bottleneck-2_seed-0", "bottleneck-3_seed-0")


def words(out, *more):
    """The command that does the sweep."""
    return [sys.executable, *SETTINGS, "--out", str(out), *more]


def sweep_of(out):
    """The sweep itself."""
    config, out, launch = _parse("bottleneck", "", PRESETS, words(out)[3:])
    job = Job("experiments.bottleneck.sweep:EXPERIMENT", config, out, launch.members)
    return job.open()[1]


def environment(**more):
    """The variables of a process that finds the clone and its Python."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    # Bitwise equal are programs that are compiled alike; what runs for moments, not optimized.
    own = {"PYTHONPATH": str(CLONE), "PATH": path, "JAX_DISABLE_MOST_OPTIMIZATIONS": "True"}
    return {**os.environ, **own, **more}


def ended(command, **more):
    """The status of a command, and what it printed."""
    done = subprocess.run(
        command, cwd=CLONE, env=environment(**more), capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def assert_same_records(out, expected):
    """All arrays of all runs, and of what is made of them, are bitwise equal."""
    for file in (*(f"runs/{name}.npz" for name in RUNS), "between.npz"):
        with np.load(out / file) as one, np.load(expected / file) as other:
            assert set(one) == set(other)
            for name in other:
                # Bitwise; assert_array_equal takes NaN for equal to NaN.
                np.testing.assert_array_equal(one[name], other[name], err_msg=name)
