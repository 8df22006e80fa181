"""The verbs of a sweep, and what they refuse without a trace."""

import dataclasses
import json
import os
import shutil

import pytest

from jaxvae.runs.sweep_run import read_settings_of, run_file
from jaxvae.sweeps.claims import claim
from jaxvae.sweeps.sweep import CLAIMS
from tests.sweeps.folders import contents
from tests.sweeps.smallest import Config, main, name_of, runs, sweep_of

ONE_EACH = ("--members", "1")


def state(out):
    """All there is, with when it was written."""
    return {path: path.stat().st_mtime_ns for path in [out, *out.rglob("*")] if path.exists()}


def command(out, *words):
    return main(["--out", str(out), *words])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("launch") / "out"
    assert command(out, *ONE_EACH) == 0
    return out


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copy")


# --- plan -----------------------------------------------------------------------------


def test_a_plan_lists_the_units_and_writes_nothing(tmp_path, capsys):
    assert command(tmp_path / "out", "--plan", *ONE_EACH) == 0
    shown = capsys.readouterr().out
    for unit in sweep_of(Config(), tmp_path).units:
        if unit.needs:
            assert unit.name in shown
    assert shown.count("to do") == 5  # four units, and the sentence
    assert shown.count("needs others") == 1
    assert "5 of 5 units to do, about 1 minute" in " ".join(shown.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_plan_shows_what_is_done_and_who_is_at_work(copy, capsys):
    run_file(copy, name_of(2, 0)).unlink()
    sweep = sweep_of(Config(), copy)
    (lost,) = sweep.missing()
    before = state(copy / "runs")
    words = (copy, "--plan", *ONE_EACH)
    assert command(*words) == 0
    shown = capsys.readouterr().out
    assert shown.count(" done ") == 4
    assert "1 of 5 units to do" in shown
    units = dataclasses.replace(sweep, members=1).units
    (unit,) = (unit for unit in units if unit.runs == (lost,))
    with claim(copy / CLAIMS, unit.name) as tell:
        assert tell is not None
        assert command(*words) == 0
    assert f"0% by {os.getpid()}@" in capsys.readouterr().out
    assert state(copy / "runs") == before
    assert lost == name_of(2, 0)


# --- shards and reports ---------------------------------------------------------------


@pytest.mark.slow
def test_shards_share_the_units_and_a_report_merges_them(tmp_path, finished, capsys):
    out = tmp_path / "out"
    assert command(out, "--shard", "1/3", *ONE_EACH) == 0
    said = capsys.readouterr().out
    assert "this share is done; 4 units are left to other shares" in said
    assert not (out / "report.txt").exists()
    assert command(out, "--shard", "0/3", *ONE_EACH) == 0
    assert "2 units are left to other shares" in capsys.readouterr().out
    assert command(out, "--shard", "2/3", *ONE_EACH) == 0
    assert "are left" not in capsys.readouterr().out
    assert contents(out) == contents(finished)
    assert command(out, "--report", *ONE_EACH) == 0
    assert (out / "report.txt").read_text() == (finished / "report.txt").read_text()


@pytest.mark.slow
def test_shards_of_machines_that_share_no_folder_are_merged_by_copying(tmp_path, finished):
    merged = tmp_path / "merged"
    for share in ("0/2", "1/2"):
        own = tmp_path / share[0]
        assert command(own, "--shard", share, *ONE_EACH) == 0
        shutil.copytree(own, merged, dirs_exist_ok=True)
    trained = {path: path.stat().st_mtime_ns for path in (merged / "runs").rglob("*.npz")}
    assert len(trained) == len(sweep_of(Config(), tmp_path).runs)
    assert command(merged, *ONE_EACH) == 0
    assert {path: path.stat().st_mtime_ns for path in trained} == trained
    assert contents(merged) == contents(finished)


@pytest.mark.slow
def test_a_report_says_what_is_missing_and_writes_nothing_but_itself(copy, capsys, monkeypatch):
    run_file(copy, name_of(2, 0)).unlink()
    run_file(copy, name_of(3, 1)).write_bytes(b"damaged")
    shutil.rmtree(copy / CLAIMS)
    (copy / "report.txt").unlink()
    before = state(copy)

    def no_data(config):
        raise AssertionError("the data was loaded")

    monkeypatch.setattr("tests.sweeps.smallest.load", no_data)
    assert command(copy, "--report", *ONE_EACH) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "2 of 4 runs are not done, and missing below: bottleneck-2/seed-0, bottleneck-3" in said
    after = state(copy)
    del after[copy / "report.txt"], after[copy], before[copy]
    assert after == before
    lines = (copy / "report.txt").read_text().splitlines()
    assert lines == [name_of(2, 1), name_of(3, 0)]


@pytest.mark.slow
def test_a_finished_sweep_is_only_drawn(copy, capsys):
    before = state(copy / "runs")
    assert command(copy, *ONE_EACH) == 0
    said = capsys.readouterr().out
    assert "to do" not in said
    assert "4 runs drawn" in said
    assert state(copy / "runs") == before


@pytest.mark.slow
def test_seeds_are_added_by_another_command(copy, capsys):
    before = state(copy / "runs")
    assert command(copy, "--seeds", "0..2", *ONE_EACH) == 0
    said = capsys.readouterr().out
    assert "2 of 6 runs to do, in 3 units; " in said
    assert "6 runs drawn" in said
    after = state(copy / "runs")
    assert {path for path in before if path.is_file() and before[path] != after[path]} == set()
    assert json.loads((copy / "config.json").read_text())["seeds"] == [0, 1, 2]


def test_a_folder_keeps_the_units_that_it_was_begun_with(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(SETTINGS | {"members": 1}))
    assert command(tmp_path, "--plan") == 0
    assert "5 of 5 units to do" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_more_processes_than_units_are_said(tmp_path, capsys):
    assert command(tmp_path / "out", "--shard", "1/2", "--members", "4") == 0
    assert "1 unit for 2 processes, so that some have nothing to do" in capsys.readouterr().out


@pytest.mark.slow
def test_models_that_are_lost_are_named_and_made_again_when_their_records_are_removed(copy, capsys):
    lost = run_file(copy, name_of(2, 0))
    shutil.rmtree(copy / "units" / read_settings_of(lost)[1].unit)
    before = contents(copy)
    words = "the models of 1 of 4 runs are lost: bottleneck-2/seed-0. Their measurements are"
    for verb in ((), ("--report",), ("--plan",)):
        assert command(copy, *verb, *ONE_EACH) == 0
        assert words in capsys.readouterr().out
    lost.unlink()
    assert command(copy, *ONE_EACH) == 0
    assert "are lost" not in capsys.readouterr().out
    assert contents(copy) == before


@pytest.mark.slow
def test_what_an_extension_leaves_of_a_unit_is_named_and_not_removed(copy, capsys):
    left = copy / "units" / "0123456789ab" / "resume"
    left.mkdir(parents=True)
    # What a system leaves wherever it looks.
    (copy / "units" / ".DS_Store").touch()
    assert command(copy, *ONE_EACH) == 0
    assert (
        f"not needed in {copy / 'units'}, left by a sweep of other runs: 0123456789ab. Remove"
        in (capsys.readouterr().out)
    )
    # Another command may be at work in it.
    with claim(copy / CLAIMS, "0123456789ab"):
        assert command(copy, *ONE_EACH) == 0
    assert "not needed" not in capsys.readouterr().out
    # While runs are missing, others may be at their units; which these are, the data tells.
    run_file(copy, name_of(2, 0)).unlink()
    assert command(copy, "--report", *ONE_EACH) == 0
    assert "not needed" not in capsys.readouterr().out
    assert command(copy, "--plan", *ONE_EACH) == 0
    assert ": 0123456789ab. Remove" in capsys.readouterr().out
    assert left.is_dir()


# --- refusals -------------------------------------------------------------------------

SETTINGS = {
    "bottlenecks": [2, 3], "seeds": [0, 1], "epochs": 3, "learning_rate": 1e-2, "batch_size": 16,
    "replicate": False, "members": None, "layout": 3,
}  # fmt: skip


REFUSED = {
    "epochs": (SETTINGS, ["--epochs", "4"], "epochs 3 (now 4); choose another --out"),
    "members": (SETTINGS, ["--members", "2"], "members not given (now 2); choose another --out"),
    "layout": (SETTINGS | {"layout": 2}, [], "those of another one in"),
    "old": ({"epochs": 3, "seeds": 2}, [], "those of another one in"),
    "torn": ("{", [], "remove config.json alone, and it goes on"),
}


@pytest.mark.parametrize("verb", [(), ("--plan",), ("--report",), ("--shard", "0/2")], ids=str)
@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_are_refused_change_nothing(tmp_path, capsys, verb, case):
    settings, words, message = REFUSED[case]
    text = settings if isinstance(settings, str) else json.dumps(settings)
    (tmp_path / "config.json").write_text(text)
    before = state(tmp_path)
    assert command(tmp_path, *verb, *words) == 2
    assert message in capsys.readouterr().err
    assert state(tmp_path) == before
    assert (tmp_path / "config.json").read_text() == text


@pytest.mark.slow
@pytest.mark.parametrize("verb", [(), ("--report",), ("--workers", "2")], ids=str)
def test_records_of_runs_with_other_settings_are_refused(copy, capsys, verb):
    (copy / "config.json").unlink()
    before = state(copy)
    assert command(copy, *verb, "--learning-rate", "0.5", *ONE_EACH) == 2
    assert "a run with learning_rate 0.5, got one with 0.01" in capsys.readouterr().err
    assert state(copy) == before


@pytest.mark.parametrize("verb", [(), ("--plan",), ("--workers", "2")], ids=str)
def test_what_would_fail_later_is_refused_before_anything_is_written(tmp_path, capsys, verb):
    assert command(tmp_path / "out", *verb, "--batch-size", "65") == 2
    assert "65" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("share", "advice"),
    [
        (1.5, "or --members of at most 2 for a sweep in a new folder"),
        (0.25, "choose a smaller network or batch"),
    ],
)
def test_runs_that_do_not_fit_together_are_refused_before_anything_is_written(
    tmp_path, capsys, monkeypatch, share, advice
):
    unit = sweep_of(Config(), tmp_path).units[0]
    available = share * unit.bytes
    monkeypatch.setattr("jaxvae.training.memory.available_memory", lambda: available)
    assert command(tmp_path / "out") == 2
    assert advice in capsys.readouterr().err
    # A plan may be for another machine.
    assert command(tmp_path / "out", "--plan") == 0
    assert not (tmp_path / "out").exists()


def test_a_report_on_nothing_is_refused(tmp_path, capsys):
    assert command(tmp_path / "out", "--report") == 2
    assert "expected runs in" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_settings_of_these_tests_are_those_of_the_sweep(finished):
    assert json.loads((finished / "config.json").read_text()) == SETTINGS | {"members": 1}
    assert len(runs(Config())) == 4
