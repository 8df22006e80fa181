"""Many processes on one folder, killed on the way: the records of one process."""

import multiprocessing
import os
import random
import signal
import time

import pytest

from jaxvae.sweeps.claims import holders
from jaxvae.sweeps.processes import LOGS, child_processes
from jaxvae.sweeps.sweep import CLAIMS
from jaxvae.sweeps.workers import _devices, _environment
from tests.processes import end, start, wait_for
from tests.sweeps.folders import contents, tree
from tests.sweeps.forks import FULL, WITH_LOCKS, WITHOUT_LOCKS, forks
from tests.sweeps.smallest import COMMAND, main

# Four units and what needs them.
SWEEP = ("--members", "1")


def at_work(out):
    return {holder.process for holder in holders(out / CLAIMS).values()}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The same sweep, done by this process, which keeps the programs for others."""
    out = tmp_path_factory.mktemp("workers") / "out"
    assert main(["--out", str(out), *SWEEP]) == 0
    return out


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    with forks(tmp_path_factory.mktemp("logs")) as started:
        yield started


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def assert_same(out, expected, *, but=()):
    """Records and files, apart from some."""
    assert contents(out) == contents(expected)
    left = {path for path in tree(out) if not path.startswith(LOGS)}
    assert sorted(left - {*but}) == tree(expected)


def begun(out):
    """What was begun to be written, and not brought to its end."""
    return [path for path in tree(out) if ".part" in path]


def claimed(out):
    """Claims that nobody released, as of a process that is killed when its unit is just done."""
    return [path for path in tree(out) if path.startswith(f"{CLAIMS}/")]


@pytest.mark.slow
def test_workers_end_with_an_interrupted_driver_and_the_next_do_the_work_of_one_that_is_killed(
    tmp_path, expected
):
    driver = start(COMMAND, tmp_path, "--workers", "2", *SWEEP)
    workers = wait_for(lambda: at_work(tmp_path))
    driver.send_signal(signal.SIGINT)
    status, shown = end(driver)
    assert status == 130
    assert "Interrupted. The same command continues where it stopped." in shown
    assert "Traceback" not in shown
    assert not any(map(is_alive, workers))
    assert at_work(tmp_path) == set()
    assert begun(tmp_path) == []
    driver = start(COMMAND, tmp_path, "--workers", "2", *SWEEP)
    victim = wait_for(lambda: at_work(tmp_path)).pop()
    assert victim != driver.pid
    os.kill(victim, signal.SIGKILL)
    status, shown = end(driver)
    assert status == 0, shown
    assert "ended with status -9" in shown
    assert "4 runs drawn" in shown
    assert_same(tmp_path, expected)
    assert "seed" in "".join(file.read_text() for file in (tmp_path / LOGS).iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("disk", [WITH_LOCKS, WITHOUT_LOCKS])
def test_processes_that_are_killed_at_random_have_the_records_of_one(
    tmp_path, expected, processes, disk
):
    chance = random.Random(0)
    running = [processes.start(tmp_path, *SWEEP, disk=disk) for _ in range(4)]
    for _ in range(4):
        wait_for(lambda: at_work(tmp_path) or (tmp_path / "report.txt").exists())
        time.sleep(chance.random())
        victim = chance.choice(sorted(at_work(tmp_path) & {*running} or running))
        running.remove(victim)
        processes.kill(victim)
        running.append(processes.start(tmp_path, *SWEEP, disk=disk))
    for number in running:
        assert "4 runs drawn" in processes.finish(number)
    assert_same(tmp_path, expected, but=begun(tmp_path) + claimed(tmp_path))


@pytest.mark.slow
def test_a_process_whose_disk_is_full_says_so_and_the_others_go_on(tmp_path, expected, processes):
    status, shown = processes.end(processes.start(tmp_path, *SWEEP, disk=FULL))
    assert status == 2
    assert "error: " in shown
    assert "File too large" in shown
    assert "The same command continues where it stopped." in shown
    assert "Traceback" not in shown
    assert at_work(tmp_path) == set()
    assert begun(tmp_path) == []
    processes.finish(processes.start(tmp_path, *SWEEP))
    assert_same(tmp_path, expected)


@pytest.mark.slow
def test_shards_without_locks_of_which_one_was_killed_have_the_records_of_one_process(
    tmp_path, expected, processes
):
    def shard(share):
        return processes.start(tmp_path, "--shard", share, *SWEEP, disk=WITHOUT_LOCKS)

    first = shard("0/2")
    wait_for(lambda: at_work(tmp_path))
    processes.kill(first)
    for number in [shard("0/2"), shard("1/2")]:
        processes.finish(number)
    processes.finish(processes.start(tmp_path, "--report", *SWEEP, disk=WITHOUT_LOCKS))
    assert_same(tmp_path, expected, but=begun(tmp_path) + claimed(tmp_path))


# --- devices --------------------------------------------------------------------------


def test_where_a_process_cannot_be_started_those_before_it_end(tmp_path):
    started = []

    def environments():
        yield {}
        started.extend(multiprocessing.active_children())
        raise OSError("no more processes")

    with (
        pytest.raises(OSError, match="no more processes"),
        child_processes(time.sleep, out=tmp_path, environments=environments(), console=None),
    ):
        pass
    assert len(started) == 1
    assert not started[0].is_alive()


def test_every_process_has_a_device_of_its_own_where_there_are_enough():
    devices = {"CUDA_VISIBLE_DEVICES": ["0", "1"], "TPU_VISIBLE_CHIPS": []}
    found = [_environment(devices, number, 2) for number in range(2)]
    assert found == [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]


def test_processes_that_share_a_device_share_its_memory():
    devices = {"CUDA_VISIBLE_DEVICES": ["GPU-a", "GPU-b"], "TPU_VISIBLE_CHIPS": []}
    found = [_environment(devices, number, 3) for number in range(3)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in found] == ["GPU-a", "GPU-b", "GPU-a"]
    assert {each["XLA_PYTHON_CLIENT_MEM_FRACTION"] for each in found} == {"0.45"}


def test_every_process_has_a_chip_of_a_tpu():
    devices = {"CUDA_VISIBLE_DEVICES": [], "TPU_VISIBLE_CHIPS": ["0", "1", "2", "3"]}
    found = _environment(devices, 2, 4)
    assert found["TPU_VISIBLE_CHIPS"] == "2"
    assert found["TPU_CHIPS_PER_PROCESS_BOUNDS"] == "1,1,1"


def test_devices_that_are_hidden_from_this_process_are_given_to_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert _devices()["CUDA_VISIBLE_DEVICES"] == []
