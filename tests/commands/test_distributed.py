"""`jaxvae train --distributed`: two processes, one of which is killed or told to end."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxvae.cli import main
from jaxvae.runs import checkpoint
from jaxvae.runs.saved import open_run
from jaxvae.training import processes

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_images")]

EPOCHS, STEPS = 60, 180
RUN = ["train", "--data", "images.npy", "--image-size", "16", "--train-size", "200"]
RUN += ["--network", "dense_vae", "--option", "widths=16", "--latents", "3"]
RUN += ["--epochs", str(EPOCHS), "--snapshots", "3"]
PROGRAM = [sys.executable, "-m", "jaxvae", *RUN]


def environment(devices, **told):
    own = {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
    }
    names = {**os.environ, **own, **told}
    # A kill may leave half of a program: they are kept as for users, with checksums.
    del names["JAX_COMPILATION_CACHE_DIR"]
    return names


def start_pair(out):
    """Two processes of one run, each with a device of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    told = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    return [
        subprocess.Popen(
            [*PROGRAM, "--distributed", "--out", str(out)],
            env=environment(1, **told, JAX_PROCESS_ID=str(index)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]


def ends_of(pair, seconds):
    """Status and output of both, which have to end by then."""
    until = time.monotonic() + seconds
    try:
        shown = [each.communicate(timeout=max(0.1, until - time.monotonic()))[0] for each in pair]
    finally:
        for each in pair:
            each.kill()
    return [each.returncode for each in pair], shown


def signalled(out, number, *, to, after, seconds):
    """Start a pair, and send a signal to one of them once a state is kept."""
    pair = start_pair(out)
    until = time.monotonic() + 240
    while after not in checkpoint.steps(out / "resume"):
        alive = all(each.poll() is None for each in pair) and time.monotonic() < until
        assert alive, ends_of(pair, 60)
        time.sleep(0.01)
    pair[to].send_signal(number)
    return ends_of(pair, seconds)


@pytest.fixture(scope="module")
def out(own_images, tmp_path_factory):
    return tmp_path_factory.mktemp("distributed") / "run"


@pytest.fixture(scope="module")
def alone(own_images, tmp_path_factory):
    """The folder of the same run, of one process that nothing stopped."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    assert main([*RUN, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def killed(out):
    return signalled(out, signal.SIGKILL, to=1, after=60, seconds=60)


@pytest.fixture(scope="module")
def terminated(killed, out):
    return signalled(out, signal.SIGTERM, to=1, after=120, seconds=60)


def test_where_one_is_killed_the_other_ends_within_a_minute_and_says_why(killed):
    (status, of_killed), (shown, _) = killed
    assert (status, of_killed) == (1, -signal.SIGKILL), shown
    assert "stopped: another of the processes has ended" in shown
    assert "The same command continues where it stopped. Give it to all processes" in shown


def test_where_one_is_told_to_end_all_save_and_end(terminated, out):
    statuses, (shown, other) = terminated
    assert statuses == [143, 143]
    assert "continues after step 60 of 180" in shown
    assert "Terminated. The same command continues" in shown
    assert "continues after" not in other
    assert 120 <= max(checkpoint.steps(out / "resume")) < STEPS
    assert not list(out.rglob("*.part"))


def test_what_is_left_is_done_by_one_two_or_four_devices(terminated, out, alone, tmp_path):
    one, four = tmp_path / "one", tmp_path / "four"
    for copy in (one, four):
        shutil.copytree(out, copy)
    statuses, shown = ends_of(start_pair(out), 240)
    assert statuses == [0, 0], shown
    assert f"run: {out}" in shown[0]
    assert "run:" not in shown[1]
    command = [*PROGRAM, "--devices", "4", "--out", str(four)]
    subprocess.run(command, env=environment(4), check=True)
    assert main([*RUN, "--out", str(one)]) == 0
    variables, numbers = open_run(alone).variables, held_out(alone)
    for folder in (one, out, four):
        assert checkpoint.steps(folder / "snapshots") == [60, 120, 180]
        found = held_out(folder)
        assert found.keys() == numbers.keys()
        np.testing.assert_allclose(list(found.values()), list(numbers.values()), rtol=1e-6)
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5),
            open_run(folder).variables,
            variables,
        )


def test_processes_that_open_mpi_started_train_one_model(alone, tmp_path):
    launcher = Path(sys.executable).with_name("mpiexec")
    if not launcher.exists() or find_spec("mpi4py") is None:
        pytest.skip("Open MPI is not installed: pip install -e '.[mpi]'")
    out = tmp_path / "out"
    start = [launcher, "--allow-run-as-root", "--oversubscribe", "-n", "2"]
    command = [*start, *PROGRAM, "--distributed", "--out", str(out)]
    ended = subprocess.run(
        command, env=environment(1), capture_output=True, text=True, timeout=240, check=False
    )
    assert ended.returncode == 0, ended.stderr
    # Of two processes that did not know of each other both would say so.
    assert ended.stdout.count(f"run: {out}") == 1
    found, numbers = held_out(out), held_out(alone)
    assert found.keys() == numbers.keys()
    np.testing.assert_allclose(list(found.values()), list(numbers.values()), rtol=1e-6)


@pytest.mark.parametrize("has_mpi4py", [False, True])
def test_only_processes_of_open_mpi_five_need_mpi4py(monkeypatch, has_mpi4py):
    monkeypatch.setattr(processes, "find_spec", lambda name: object() if has_mpi4py else None)
    for name in (*processes._VARIABLES, "OMPI_COMM_WORLD_SIZE", "OMPI_MCA_orte_hnp_uri"):
        monkeypatch.delenv(name, raising=False)
    assert processes._way_to_find_others() is None
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    if has_mpi4py:
        assert processes._way_to_find_others() == "mpi4py"
    else:
        with pytest.raises(ValueError, match=r"Open MPI 5 or later without mpi4py.*pip install"):
            processes._way_to_find_others()
    monkeypatch.setenv("OMPI_MCA_orte_hnp_uri", "1531576320.0;tcp://10.96.0.1:34911")
    assert processes._way_to_find_others() is None


def held_out(out):
    found = json.loads((out / "held_out.json").read_text())
    return {name: one["value"] for name, one in found.items() if isinstance(one, dict)}


def test_without_a_word_on_who_the_others_are_it_is_refused(tmp_path):
    command = [*PROGRAM, "--distributed", "--out", str(tmp_path / "run")]
    ended = subprocess.run(command, env=environment(1), capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "expected for --distributed a TPU pod, SLURM, Open MPI, or the variables" in ended.stderr
    assert not (tmp_path / "run").exists()
