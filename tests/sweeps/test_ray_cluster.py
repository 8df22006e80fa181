"""Units of a sweep as tasks of Ray, on nodes of this machine."""

import argparse
import dataclasses
import os
import signal
import sys
from pathlib import Path
from socket import gethostname

import pytest

from jaxvae.runs.member import UNITS, run_file
from jaxvae.sweeps.arguments import HERE, add_launch
from jaxvae.sweeps.claims import claim, holders
from jaxvae.sweeps.sweep import CLAIMS
from jaxvae.sweeps.workers import LOGS
from tests.sweeps.conftest import SWEEP
from tests.sweeps.nodes import running_nodes
from tests.sweeps.processes import end, start, wait_for
from tests.sweeps.smallest import Config, sweep_of
from tests.sweeps.test_work import contents


@pytest.fixture
def cluster(ray_token):
    with running_nodes(2) as nodes:
        yield nodes


def units(out):
    sweep = dataclasses.replace(sweep_of(Config(epochs=400), out), members=1)
    return {unit.name: unit for unit in sweep.units}


def parent_of(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def in_the_midst(out, cluster):
    """A unit that was measured once and is not done, its process, and the node of that."""
    for unit, holder in holders(out / CLAIMS).items():
        node = parent_of(holder.process)
        if (out / UNITS / unit / "epoch-0000.npz").exists() and node in cluster.working:
            return unit, holder.process, node
    return None


@pytest.mark.slow
def test_a_sweep_that_lost_a_node_on_the_way_has_the_records_of_one_process(
    tmp_path, alone, cluster
):
    driver = start(tmp_path, "--ray", cluster.address, *SWEEP)
    name, process, node = wait_for(lambda: in_the_midst(tmp_path, cluster))
    # As a machine that loses its power: the process ends with the node, not after it.
    os.kill(process, signal.SIGKILL)
    cluster.kill(node)
    unit = units(tmp_path)[name]
    assert not run_file(tmp_path, unit.runs[0]).exists(), "the node was killed too late"
    status, shown = end(driver)
    assert status == 0, shown
    assert contents(tmp_path) == contents(alone)
    # What tasks say is in their logs, and not between the lines of the sweep.
    assert "pid=" not in shown
    logs = {log.name: log.read_text() for log in (tmp_path / LOGS).iterdir()}
    assert unit.title not in logs[f"{gethostname()}-{process}.log"]
    assert sum(f"{unit.title}: " in log for log in logs.values()) == 1


@pytest.mark.slow
def test_a_sweep_on_ray_that_was_interrupted_goes_on_and_has_the_records_of_one_process(
    tmp_path, alone, ray_token
):
    driver = start(tmp_path, "--ray", *SWEEP)
    wait_for(lambda: holders(tmp_path / CLAIMS))
    driver.send_signal(signal.SIGINT)
    status, shown = end(driver)
    assert status == 130, shown
    assert "Interrupted. The same command continues where it stopped." in shown
    assert holders(tmp_path / CLAIMS) == {}
    status, shown = end(start(tmp_path, "--ray", *SWEEP))
    assert status == 0, shown
    assert contents(tmp_path) == contents(alone)


@pytest.mark.slow
def test_a_unit_that_a_process_outside_of_the_cluster_holds_is_waited_for(
    tmp_path, alone, ray_token
):
    first, *others = (unit for unit in units(tmp_path).values() if unit.runs)
    driver = start(tmp_path, "--ray", *SWEEP)
    with claim(tmp_path / CLAIMS, first.name) as held:
        assert held
        wait_for(lambda: all(run_file(tmp_path, unit.runs[0]).exists() for unit in others))
        assert not run_file(tmp_path, first.runs[0]).exists()
    status, shown = end(driver)
    assert status == 0, shown
    assert contents(tmp_path) == contents(alone)


@pytest.mark.slow
def test_settings_that_fail_in_a_task_end_the_sweep_with_their_message(tmp_path, ray_token):
    status, shown = end(start(tmp_path, "--ray", "--bottlenecks", "1000000000"))
    assert status == 2, shown
    assert "choose a smaller network or batch" in shown
    assert "Traceback" not in shown


def test_without_ray_the_option_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    parser = argparse.ArgumentParser()
    add_launch(parser)
    for given in (["--ray"], ["--ray", "auto"]):
        with pytest.raises(SystemExit) as ended:
            parser.parse_args(given)
        assert ended.value.code == 2
        assert "pip install -e '.[ray]'" in capsys.readouterr().err


def test_with_ray_the_option_takes_an_address_or_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", argparse)
    parser = argparse.ArgumentParser()
    add_launch(parser)
    assert parser.parse_args(["--ray"]).ray == HERE
    assert parser.parse_args(["--ray", "auto"]).ray == "auto"
