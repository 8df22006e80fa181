"""Many processes on one folder, killed on the way: the records of one process."""

import os
import random
import signal
import time

import pytest

from jaxvae.sweeps.claims import STALE_SECONDS, holders
from jaxvae.sweeps.sweep import CLAIMS
from jaxvae.sweeps.workers import LOGS, _devices, _environment
from tests.sweeps.forks import WITHOUT_LOCKS, forks
from tests.sweeps.processes import FULL, end, start, wait_for
from tests.sweeps.processes import WITHOUT_LOCKS as LOCKLESS
from tests.sweeps.test_work import contents, tree

# Six units and what needs them.
SWEEP = ("--seeds", "0..2", "--members", "1")


def at_work(out):
    return {holder.process for holder in holders(out / CLAIMS).values()}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The same sweep, done by one process of its own."""
    out = tmp_path_factory.mktemp("workers") / "out"
    status, shown = end(start(out, *SWEEP))
    assert status == 0, shown
    return out


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def assert_same(out, expected):
    assert contents(out) == contents(expected)
    left = [path for path in tree(out) if not path.startswith(LOGS)]
    assert left == tree(expected)


@pytest.mark.slow
def test_workers_of_which_one_is_killed_have_the_records_of_one_process(tmp_path, expected):
    driver = start(tmp_path, "--workers", "2", *SWEEP)
    victim = wait_for(lambda: at_work(tmp_path)).pop()
    assert victim != driver.pid
    os.kill(victim, signal.SIGKILL)
    status, shown = end(driver)
    assert status == 0, shown
    assert "ended with status -9" in shown
    assert "6 runs drawn" in shown
    assert_same(tmp_path, expected)
    assert "seed" in "".join(file.read_text() for file in (tmp_path / LOGS).iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("disk", ["with locks", WITHOUT_LOCKS])
def test_eight_processes_that_are_killed_at_random_have_the_records_of_one(
    tmp_path, expected, disk
):
    chance, out = random.Random(0), tmp_path / "out"
    with forks(tmp_path / "log", disk=disk) as processes:
        for _ in range(8):
            processes.start(out, *SWEEP)
        for _ in range(6):
            wait_for(lambda: at_work(out) or (out / "report.txt").exists())
            time.sleep(chance.random())
            victims = at_work(out) & {*processes.running} or processes.running
            processes.kill(chance.choice(sorted(victims)))
            processes.start(out, *SWEEP)
        statuses = [processes.end(number) for number in [*processes.running]]
        assert statuses == [0] * 8, processes.shown()
        assert processes.shown().count("6 runs drawn") >= 8
    assert contents(out) == contents(expected)
    assert [path for path in tree(out) if ".part" not in path] == tree(expected)


@pytest.mark.slow
def test_a_process_whose_disk_is_full_says_so_and_the_others_go_on(tmp_path, expected):
    # What is longer is not written: the system says so, as of a disk that is full.
    first = start(tmp_path, *SWEEP, command=FULL)
    status, shown = end(first)
    assert status == 2
    assert "error: " in shown
    assert "File too large" in shown
    assert "The same command continues where it stopped." in shown
    assert "Traceback" not in shown
    assert at_work(tmp_path) == set()
    status, shown = end(start(tmp_path, *SWEEP))
    assert status == 0, shown
    assert_same(tmp_path, expected)


@pytest.mark.slow
def test_an_interrupted_driver_ends_its_workers_and_the_sweep_goes_on_later(tmp_path, expected):
    driver = start(tmp_path, "--workers", "2", *SWEEP)
    workers = wait_for(lambda: at_work(tmp_path))
    driver.send_signal(signal.SIGINT)
    status, shown = end(driver)
    assert status == 130
    assert "Interrupted. The same command continues where it stopped." in shown
    assert "Traceback" not in shown
    assert not any(map(is_alive, workers))
    assert at_work(tmp_path) == set()
    status, shown = end(start(tmp_path, *SWEEP))
    assert status == 0, shown
    assert_same(tmp_path, expected)


@pytest.mark.slow
def test_shards_on_a_folder_without_locks_have_the_records_of_one_process(tmp_path, expected):
    shards = [
        start(tmp_path, "--shard", shard, *SWEEP, command=LOCKLESS) for shard in ("0/2", "1/2")
    ]
    for shard in shards:
        status, shown = end(shard)
        assert status == 0, shown
    assert end(start(tmp_path, "--report", *SWEEP, command=LOCKLESS))[0] == 0
    assert_same(tmp_path, expected)


@pytest.mark.slow
def test_a_shard_that_was_killed_without_locks_goes_on_once_its_claim_is_stale(tmp_path, expected):
    first = start(tmp_path, "--shard", "0/2", *SWEEP, command=LOCKLESS)
    wait_for(lambda: at_work(tmp_path))
    first.kill()
    end(first)
    for file in (tmp_path / CLAIMS).iterdir():
        then = time.time() - STALE_SECONDS - 5
        os.utime(file, (then, then))
    for shard in ("0/2", "1/2"):
        status, shown = end(start(tmp_path, "--shard", shard, *SWEEP, command=LOCKLESS))
        assert status == 0, shown
    assert contents(tmp_path) == contents(expected)


# --- devices --------------------------------------------------------------------------


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
