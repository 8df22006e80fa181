"""Units of a sweep as tasks of Ray, on nodes of this machine."""

import argparse
import dataclasses
import os
import signal
import sys
from pathlib import Path
from socket import gethostname, socket

import pytest

from jaxvae.commands.arguments.launch import add_launch
from jaxvae.runs.sweep_run import UNITS, run_file
from jaxvae.sweeps.claims import claim, holders
from jaxvae.sweeps.launch_options import HERE
from jaxvae.sweeps.processes import LOGS
from jaxvae.sweeps.sweep import CLAIMS
from tests.processes import end, start, wait_for
from tests.sweeps.folders import contents
from tests.sweeps.nodes import running_nodes
from tests.sweeps.smallest import COMMAND, Config, main, sweep_of

# Four units of a run each, and one that needs them.
RECIPES = Path(__file__).parents[2] / "examples" / "clusters"
SWEEP = ("--members", "1", "--epochs", "400")
# The same, where a unit that another process holds is tried again after a second.
SOON_AGAIN = [
    sys.executable,
    "-c",
    "import sys\n"
    "from jaxvae.sweeps import ray_cluster\n"
    "from tests.sweeps.smallest import main\n"
    "ray_cluster._AGAIN_SECONDS = 1.0\n"
    "sys.exit(main(sys.argv[1:]))",
]


@pytest.fixture(scope="module")
def ray_token():
    """Ray, where it is installed, with a token of its own in place of that of the home."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "0" * 32)
        yield


@pytest.fixture(scope="module")
def cluster(ray_token):
    """A head, and a node that one test kills."""
    with running_nodes() as nodes:
        yield nodes


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of the sweep, done by this process, which keeps the programs for others."""
    out = tmp_path_factory.mktemp("alone") / "out"
    assert main(["--out", str(out), *SWEEP]) == 0
    return out


def units(out):
    sweep = dataclasses.replace(sweep_of(Config(epochs=400), out), members=1)
    return {unit.name: unit for unit in sweep.units}


def parent_of(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def in_the_midst(out, node):
    """A unit that was measured once on a node and is not done, and its process."""
    for unit, holder in holders(out / CLAIMS).items():
        is_measured = (out / UNITS / unit / "epoch-0000.npz").exists()
        if is_measured and parent_of(holder.process) == node:
            return unit, holder.process
    return None


@pytest.mark.slow
def test_a_sweep_that_lost_a_node_on_the_way_has_the_records_of_one_process(
    tmp_path, alone, cluster
):
    driver = start(COMMAND, tmp_path, "--ray", cluster.address, *SWEEP)
    name, process = wait_for(lambda: in_the_midst(tmp_path, cluster.node))
    # As a machine that loses its power: the process ends with the node, not after it.
    os.kill(process, signal.SIGKILL)
    cluster.kill_node()
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
def test_an_interrupted_sweep_on_ray_goes_on_and_waits_for_a_unit_that_another_process_holds(
    tmp_path, alone, cluster
):
    first, *others = (unit for unit in units(tmp_path).values() if unit.runs)
    with claim(tmp_path / CLAIMS, first.name) as held:
        assert held
        driver = start(COMMAND, tmp_path, "--ray", *SWEEP)
        wait_for(lambda: len(holders(tmp_path / CLAIMS)) > 1)
        driver.send_signal(signal.SIGINT)
        status, shown = end(driver)
        assert status == 130, shown
        assert "Interrupted. The same command continues where it stopped." in shown
        assert set(holders(tmp_path / CLAIMS)) == {first.name}
        driver = start(SOON_AGAIN, tmp_path, "--ray", cluster.address, *SWEEP)
        wait_for(lambda: all(run_file(tmp_path, unit.runs[0]).exists() for unit in others))
        assert not run_file(tmp_path, first.runs[0]).exists()
    status, shown = end(driver)
    assert status == 0, shown
    assert contents(tmp_path) == contents(alone)


@pytest.mark.slow
def test_the_recipe_of_a_ray_cluster_has_the_records_of_one_process(
    tmp_path, alone, ray_token, monkeypatch
):
    with socket() as free:
        free.bind(("", 0))
        monkeypatch.setenv("PORT", str(free.getsockname()[1]))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    recipe = start([str(RECIPES / "ray.sh"), *COMMAND], tmp_path, *SWEEP)
    status, shown = end(recipe)
    assert status == 0, shown
    assert "4 runs drawn" in shown
    assert contents(tmp_path) == contents(alone)


@pytest.mark.slow
def test_settings_that_fail_in_a_task_end_the_sweep_with_their_message(tmp_path, cluster):
    words = ("--ray", cluster.address, "--bottlenecks", "1000000000")
    status, shown = end(start(COMMAND, tmp_path, *words))
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
