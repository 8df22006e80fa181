"""The command line: what it lists, what it overrides and what it refuses."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.bottleneck import PRESETS, Config
from experiments.bottleneck.sweep import run
from experiments.command import run_experiment

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
    parsed = []
    status = run_experiment(
        "bottleneck", "", PRESETS, lambda config, out, _: parsed.append((config, out)), arguments
    )
    assert status == 0
    return parsed[0]


def command(*arguments):
    return run_experiment("bottleneck", "", PRESETS, run, arguments)


def test_help_lists_the_presets(capsys):
    with pytest.raises(SystemExit):
        command("--help")
    assert "{smoke,demo,mnist,paper-mnist,paper-cifar10}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["bottleneck", "learning_dynamics", "rate_allocation"])
@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--help"], 0, "named configuration, which the settings below change"),
        (["domo"], 2, "invalid choice: 'domo'"),
        (["--epochs", "0"], 2, "error: expected --epochs of "),
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


def test_an_interrupted_run_has_status_130_and_says_how_to_go_on(capsys):
    def interrupted(config, out, console):
        raise KeyboardInterrupt

    assert run_experiment("bottleneck", "", PRESETS, interrupted, []) == 130
    assert "The same command resumes" in capsys.readouterr().err


def test_a_message_with_brackets_is_printed_as_it_is(capsys):
    def refuse(config, out, console):
        raise ValueError("expected [n, h, w], got [/] in [red]")

    assert run_experiment("bottleneck", "", PRESETS, refuse, []) == 2
    assert capsys.readouterr().err == "error: expected [n, h, w], got [/] in [red]\n"


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
        (["--seeds", "0"], "--seeds of at least 1, got 0"),
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


@pytest.mark.parametrize("arguments", [["--epochs", "many"], ["--widths"], ["--colour", "red"]])
def test_a_word_that_cannot_be_read_has_status_2(arguments):
    with pytest.raises(SystemExit) as caught:
        command("smoke", *arguments)
    assert caught.value.code == 2


SPRITES = ["smoke", "--data", "sprites", "--image-size", "10", "--train-size", "64"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch-size", "65"], "batch_size <= 64 images, got 65"),
        (["--batch-size", "8", "--points", "20000"], "up to the 10000 test images of sprites"),
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
    assert 'tfds.builder("mnist"' in message
    assert not (tmp_path / "out").exists()


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
