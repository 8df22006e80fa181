"""Units of a sweep as tasks of Ray, on nodes of this machine."""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from socket import gethostname

import pytest

from jaxvae.sweeps.arguments import HERE, add_launch
from jaxvae.sweeps.claims import claim, holders
from jaxvae.sweeps.records import run_file
from jaxvae.sweeps.sweep import CLAIMS, UNITS
from tests.experiments.processes import HEED
from tests.sweeps.tiny import CLONE, assert_same_records, ended, environment, sweep_of, words

_NODE = {"object_store_memory": 80 * 10**6, "include_dashboard": False}


@pytest.fixture
def nodes(ray_token):
    """A cluster of two nodes with a core each, and the nodes."""
    from ray.cluster_utils import Cluster  # noqa: PLC0415

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **_NODE})
    try:
        yield cluster, [cluster.add_node(num_cpus=1, **_NODE) for _ in range(2)]
    finally:
        cluster.shutdown()


def parent_of(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def node_at_work(out, nodes):
    """A unit that was measured once, its process, and the node of that."""
    raylets = {node.all_processes["raylet"][0].process.pid: node for node in nodes}
    end = time.monotonic() + 300
    while time.monotonic() < end:
        for unit, holder in holders(out / CLAIMS).items():
            measured = out / UNITS / unit / "epoch-0000.npz"
            if measured.exists() and parent_of(holder.process) in raylets:
                return unit, holder.process, raylets[parent_of(holder.process)]
        time.sleep(0.02)
    raise AssertionError("no unit was begun")


@pytest.mark.slow
def test_a_sweep_that_lost_a_node_on_the_way_ends_with_the_records_of_one_process(
    tmp_path, alone, nodes
):
    cluster, workers = nodes
    command = words(tmp_path, "--ray", cluster.address)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=CLONE, env=environment(), **pipes) as driver:
        name, process, node = node_at_work(tmp_path, workers)
        # As a machine that loses its power: the process ends with the node, not after it.
        os.kill(process, signal.SIGKILL)
        cluster.remove_node(node, allow_graceful=False)
        (unit,) = (unit for unit in sweep_of(tmp_path).units if unit.name == name)
        assert not run_file(tmp_path, unit.runs[0]).exists(), "the node was killed too late"
        shown, _ = driver.communicate(timeout=600)
    assert driver.returncode == 0, shown
    assert_same_records(tmp_path, alone)
    # Nothing that a task said came between the lines of the sweep.
    assert "pid=" not in shown
    logs = list((tmp_path / "workers").glob("*.log"))
    assert sum(f"{unit.title}: " in log.read_text() for log in logs) == 1
    assert unit.title not in (tmp_path / "workers" / f"{gethostname()}-{process}.log").read_text()


@pytest.mark.slow
def test_a_sweep_on_ray_that_was_interrupted_goes_on_and_ends_as_one_process(
    tmp_path, alone, ray_token
):
    command = words(tmp_path, "--ray")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen([*HEED, *command], cwd=CLONE, env=environment(), **pipes) as driver:
        while not any(holder.share > 0 for holder in holders(tmp_path / CLAIMS).values()):
            assert driver.poll() is None
            time.sleep(0.02)
        driver.send_signal(signal.SIGINT)
        shown, _ = driver.communicate(timeout=300)
    assert driver.returncode == 130, shown
    assert "Interrupted. The same command resumes where it stopped." in shown
    assert holders(tmp_path / CLAIMS) == {}
    status, shown = ended(command)
    assert status == 0, shown
    assert_same_records(tmp_path, alone)


@pytest.mark.slow
def test_a_unit_that_a_process_outside_of_the_cluster_holds_is_waited_for(
    tmp_path, alone, ray_token
):
    first, *others = sweep_of(tmp_path).units
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(
        words(tmp_path, "--ray"), cwd=CLONE, env=environment(), **pipes
    ) as driver:
        with claim(tmp_path / CLAIMS, first.name) as held:
            assert held
            while not run_file(tmp_path, others[0].runs[0]).exists():
                assert driver.poll() is None
                time.sleep(0.1)
            assert not run_file(tmp_path, first.runs[0]).exists()
        shown, _ = driver.communicate(timeout=600)
    assert driver.returncode == 0, shown
    assert_same_records(tmp_path, alone)


@pytest.mark.slow
def test_settings_that_fail_in_a_task_end_the_sweep_with_their_message(tmp_path, ray_token):
    status, shown = ended(words(tmp_path, "--bottlenecks", "1000000000", "--ray"))
    assert status == 2, shown
    assert "choose a smaller network or batch" in shown
    assert "Traceback" not in shown


def test_without_ray_the_option_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    parser = argparse.ArgumentParser()
    add_launch(parser)
    for given in (["--ray"], ["--ray", "auto"]):
        with pytest.raises(SystemExit) as ended_with:
            parser.parse_args(given)
        assert ended_with.value.code == 2
        assert "pip install -e '.[ray]'" in capsys.readouterr().err


def test_with_ray_the_option_takes_an_address_or_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", argparse)
    parser = argparse.ArgumentParser()
    add_launch(parser)
    assert parser.parse_args(["--ray"]).ray == HERE
    assert parser.parse_args(["--ray", "auto"]).ray == "auto"
