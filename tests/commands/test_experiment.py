"""The command line: what it lists, what it overrides and what it refuses."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.bottleneck import PRESETS, Config
from jaxvae.commands.experiment import _parse, run_experiment
from jaxvae.runs.folder import BusyError, UnfinishedError
from jaxvae.sweeps.job import Experiment
from jaxvae.sweeps.launch_options import Launch
from tests.tiers import parametrize

# As `python -m` does it, and then what was imported of that which takes a second and more.
ANSWER = """
import runpy, sys
try:
    runpy.run_module(sys.argv.pop(1), run_name="__main__")
finally:
    print("imported:", sorted({"jax", "flax", "xarray", "matplotlib"} & set(sys.modules)))
"""


def parse(*arguments):
    """The configuration and folder that these arguments would run."""
    config, out, launch = _parse("bottleneck", "", PRESETS, arguments)
    assert launch == Launch()
    return config, out


def command(*arguments, experiment="experiments.bottleneck.sweep:EXPERIMENT"):
    return run_experiment("bottleneck", "", PRESETS, experiment, arguments)


def raising(error):
    """An experiment that does nothing else."""

    def fail(config, out):
        raise error

    return Experiment(fail, lambda config, sweep, console: None)


INTERRUPTED = raising(KeyboardInterrupt())
REFUSED = raising(ValueError("expected [n, h, w], got [/] in [red]"))
BUSY = raising(BusyError("expected no other process at work in out; wait for it"))
UNFINISHED = raising(UnfinishedError("3 units are left; the same command does them"))


def test_help_lists_the_presets(capsys):
    with pytest.raises(SystemExit):
        command("--help")
    assert "{smoke,demo,mnist,paper-mnist,paper-cifar10}" in capsys.readouterr().out


@parametrize("name", ["bottleneck", "learning_dynamics", "rate_allocation"])
@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--help"], 0, "named configuration; the settings below change single values of it"),
        (["domo"], 2, "invalid choice: 'domo'"),
        (["--epochs", "0"], 2, "error: expected --epochs of "),
        (["--epoch", "3"], 2, "there is no option --epoch; did you mean --epochs"),
    ],
)
def test_help_and_mistakes_are_answered_before_anything_slow_is_imported(name, words, status, said):
    answer = [sys.executable, "-c", ANSWER, f"experiments.{name}", *words]
    root = Path(__file__).parents[2]
    done = subprocess.run(answer, check=False, cwd=root, capture_output=True, text=True)
    assert done.returncode == status
    assert said in " ".join((done.stdout + done.stderr).split())
    assert done.stdout.endswith("imported: []\n")


@pytest.mark.parametrize("field", dataclasses.fields(Config), ids=lambda field: field.name)
def test_help_explains_every_option(capsys, field):
    with pytest.raises(SystemExit) as caught:
        command("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    assert f"--{field.name.replace('_', '-')} " in text
    assert field.metadata["help"] in text


def test_the_default_is_the_demo():
    config, out = parse()
    assert config == PRESETS["demo"]
    assert str(out) == "results/bottleneck/demo"


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_chosen_by_name(preset):
    config, out = parse(preset)
    assert config == PRESETS[preset]
    assert str(out) == f"results/bottleneck/{preset}"


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        (["--epochs", "3"], {"epochs": 3}),
        (["--learning-rate", "1e-4"], {"learning_rate": 1e-4}),
        (["--bottlenecks", "2", "32"], {"bottlenecks": (2, 32)}),
        (["--image-size", "32", "--train-size", "500"], {"image_size": 32, "train_size": 500}),
        (["--data", "cifar10", "--network", "convolutional"],
         {"data": "cifar10", "network": "convolutional"}),
    ],
)  # fmt: skip
def test_an_option_changes_its_field_and_no_other(arguments, changed):
    config, _ = parse("mnist", *arguments)
    assert config == dataclasses.replace(PRESETS["mnist"], **changed)


def test_sizes_and_snapshots_are_sorted_and_counted_once():
    config, _ = parse("mnist", "--bottlenecks", "8", "2", "8", "--snapshots", "5", "0", "5")
    assert (config.bottlenecks, config.snapshots) == ((2, 8), (0, 5))


def test_snapshots_after_the_last_epoch_are_left_out():
    config, _ = parse("mnist", "--epochs", "3", "--snapshots", "0", "2", "3", "9")
    assert config.measured_epochs == (0, 2, 3)


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("INTERRUPTED", 130, "Interrupted. The same command continues where it stopped.\n"),
        ("REFUSED", 2, "error: expected [n, h, w], got [/] in [red]\n"),
        ("BUSY", 75, "busy: expected no other process at work in out; wait for it\n"),
        ("UNFINISHED", 1, "unfinished: 3 units are left; the same command does them\n"),
    ],
)
def test_what_ends_a_command_has_a_status_of_its_own_and_is_said_as_it_is(
    capsys, tmp_path, name, status, said
):
    experiment = f"{__name__}:{name}"
    assert command("smoke", "--out", str(tmp_path / "out"), experiment=experiment) == status
    assert capsys.readouterr().err == said
    assert not (tmp_path / "out").exists()


def test_seeds_are_a_list_or_a_range():
    assert parse("--seeds", "0..2,7")[0].seeds == (0, 1, 2, 7)
    assert parse("--seeds", "3")[0].seeds == (3,)


@pytest.mark.parametrize(
    ("words", "launch"),
    [
        (["--plan"], Launch(plan=True)),
        (["--shard", "1/4", "--members", "8"], Launch(shard=(1, 4), members=8)),
        (["--workers", "2"], Launch(workers=2)),
        (["--report"], Launch(report=True)),
    ],
)
def test_the_ways_to_do_a_sweep_are_apart_from_its_settings(words, launch):
    config, _, found = _parse("bottleneck", "", PRESETS, ["smoke", *words])
    assert config == PRESETS["smoke"]
    assert found == launch


# --- refusals -------------------------------------------------------------------------


def test_an_unknown_preset_has_status_2_and_lists_the_choices(capsys):
    with pytest.raises(SystemExit) as caught:
        command("paper")
    assert caught.value.code == 2
    assert "paper-cifar10" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--learning-rate", "nan"], "--learning-rate finite and positive, got nan"),
        (["--learning-rate", "inf"], "--learning-rate finite and positive, got inf"),
        (["--learning-rate", "0"], "--learning-rate finite and positive, got 0"),
        (["--beta", "-1"], "--beta finite and not negative, got -1"),
        (["--l2", "nan"], "--l2 finite and not negative, got nan"),
        (["--bottlenecks", "2", "0"], "--bottlenecks of at least 1, got (2, 0)"),
        (["--widths", "0"], "--widths of at least 1, got (0,)"),
        (["--snapshots", "-1"], "--snapshots of at least 0, got (-1,)"),
        (["--epochs", "0"], "--epochs of at least 1, got 0"),
        (["--batch-size", "0"], "--batch-size of at least 1, got 0"),
        (["--points", "2"], "--points of at least 3, got 2"),
        (["--network", "resnet"], "--network among ['dense', 'convolutional'], got resnet"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_setting_that_makes_no_sense_is_refused(capsys, tmp_path, arguments, message):
    assert command("smoke", "--out", str(tmp_path / "out"), *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments", [["--epochs", "many"], ["--widths"], ["--colour", "red"], ["--seeds", "4..2"]]
)
def test_a_word_that_cannot_be_read_has_status_2(arguments):
    with pytest.raises(SystemExit) as caught:
        command("smoke", *arguments)
    assert caught.value.code == 2


SPRITES = ["smoke", "--data", "sprites", "--image-size", "10", "--train-size", "64"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch-size", "65"], "batch_size <= 64 images, got 65"),
        (["--batch-size", "8", "--points", "20000"], "distinct held-out images of sprites"),
        (["--batch-size", "8", "--network", "convolutional"], "divisible by 4"),
    ],
    ids=["batch", "points", "size"],
)
def test_settings_that_do_not_fit_the_data_leave_nothing_behind(
    capsys, tmp_path, arguments, message
):
    assert command(*SPRITES, "--out", str(tmp_path / "out"), *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_data_set_that_is_not_prepared_is_refused_with_the_command_that_prepares_it(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("JAXVAE_CACHE_DIR", str(tmp_path / "cache"))
    assert command("mnist", "--out", str(tmp_path / "out")) == 2
    message = capsys.readouterr().err
    assert "tensorflow" in message
    assert "jaxvae data mnist --prepare" in message
    assert not (tmp_path / "out").exists()


def test_a_zarr_store_without_zarr_is_refused_with_what_to_install(capsys, tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr")
    zarr.save(str(tmp_path / "images.zarr"), np.zeros((20, 8, 8), np.uint8))
    monkeypatch.setitem(sys.modules, "zarr", None)
    data, out = str(tmp_path / "images.zarr"), str(tmp_path / "out")
    assert command("smoke", "--data", data, "--out", out) == 2
    assert "expected zarr 3 for a .zarr group, found none: pip install" in capsys.readouterr().err


def test_an_unknown_data_set_is_refused_with_the_choices(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    assert command("smoke", "--data", "no_such_set", "--out", str(tmp_path / "out")) == 2
    message = capsys.readouterr().err
    assert "sprites" in message
    assert "no_such_set" in message


def test_a_folder_that_cannot_be_written_is_refused(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out"
    assert command(*SPRITES, "--batch-size", "8", "--out", str(out)) == 2
    assert f"expected a folder that can be written for --out, got {out}" in capsys.readouterr().err
