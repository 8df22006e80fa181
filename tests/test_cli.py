"""The command line as a whole: its version, its commands, and how it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import jaxvae
from jaxvae import cli
from jaxvae.cli import main

# What takes a second and more to import, together or alone.
SLOW = "{'jax', 'flax', 'optax', 'orbax', 'scipy', 'xarray', 'matplotlib', 'rich'}"
ANSWER = f"""
import sys
from jaxvae.cli import main
try:
    main(sys.argv[1:])
finally:
    print("imported:", sorted({SLOW} & set(sys.modules)))
"""


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"jaxvae {jaxvae.__version__}\n"


@pytest.mark.parametrize("command", cli._COMMANDS, ids=lambda module: module.__name__)
def test_help_lists_every_command_and_each_has_help_with_examples(capsys, command):
    name = command.__name__.rpartition(".")[2]
    with pytest.raises(SystemExit):
        main(["--help"])
    assert f"\n    {name} " in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"examples:\n  jaxvae {name} " in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [[], ["measure"], ["mesure", "a.npy"], ["measure", "--k=x"], ["train"], ["capture", "run"]],
)
def test_a_command_that_cannot_be_read_has_status_2(arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("--help", 0, "dimension, imbalance and similarity"),
        ("--version", 0, f"jaxvae {jaxvae.__version__}"),
        ("train --help", 0, "--coefficient capacity=NUMBER gamma=1000"),
        ("measure --help", 0, "Intrinsic dimension (TwoNN)"),
        ("mesure a.npy", 2, "invalid choice: 'mesure'"),
        ("measure a.npy --point 5 --kk 3", 2, "unrecognized arguments: --kk 3"),
        ("train --epochs many --out run", 2, "argument --epochs: invalid int value: 'many'"),
    ],
)
def test_help_and_mistakes_are_answered_before_anything_slow_is_imported(words, status, said):
    root = {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", ANSWER, *words.split()]
    done = subprocess.run(
        command, check=False, env={**os.environ, **root}, capture_output=True, text=True
    )
    assert done.returncode == status
    assert said in " ".join((done.stdout + done.stderr).split())
    assert done.stdout.endswith("imported: []\n")


@pytest.mark.parametrize(
    ("number", "status", "name"),
    [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Terminated")],
)
def test_a_signal_ends_a_command_with_its_status_and_word(
    capsys, monkeypatch, number, status, name
):
    # A shell that runs the tests in the background has them ignore Ctrl-C.
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(
        "jaxvae.commands.measure.read_arrays", lambda _: os.kill(os.getpid(), number)
    )
    assert main(["measure", "a.npy"]) == status
    signal.signal(signal.SIGINT, earlier)
    assert capsys.readouterr().err == f"{name}. Nothing was written.\n"
