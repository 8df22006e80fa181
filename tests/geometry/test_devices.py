"""Rows split over simulated devices, and over two processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("measure_on_devices.py")


def run(devices, process="0", processes="1", port="0"):
    environment = {
        **os.environ,
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, "-W", "error", str(SCRIPT), process, processes, port]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def numbers(process):
    output, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors
    # The processes' own transport prints lines between ours.
    return [line for line in output.splitlines() if line.startswith("bits")]


@pytest.fixture(scope="module")
def on_one_device():
    return numbers(run(1))


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 4])
def test_every_number_is_the_same_on_several_devices(devices, on_one_device):
    assert numbers(run(devices)) == on_one_device


@pytest.mark.slow
def test_every_number_is_the_same_in_two_processes(on_one_device):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    pair = [run(2, process, "2", port) for process in "01"]
    assert [numbers(process) for process in pair] == [on_one_device] * 2
