"""Training on the devices of two processes, wherever the images are."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from tests.training import train_in_processes
from tests.training.train_on_devices import numbers, of_batches

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    told = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2"}
    told |= {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    command = [sys.executable, "-m", train_in_processes.__name__, str(out)]
    pair = [
        subprocess.Popen(
            command,
            env={**os.environ, **told, "JAX_PROCESS_ID": str(index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    shown = [each.communicate(timeout=600)[0] for each in pair]
    assert [each.returncode for each in pair] == [0, 0], shown
    assert all("processes 2 devices 4\n" in each for each in shown)
    refusal = (
        "refused: expected devices of this process for an ensemble, got some of other processes"
    )
    assert all(refusal in each for each in shown)
    with np.load(out / "results.npz") as archive:
        return {name: archive[name] for name in archive}


@pytest.mark.parametrize("storage", ["everywhere", "split", "host"])
def test_two_processes_have_the_numbers_of_one_device(results, storage):
    np.testing.assert_allclose(results[storage], numbers(of_batches("dense")), rtol=1e-5, atol=1e-6)
