"""Where results go, as it is written on the command line."""

from pathlib import Path

import pytest

from experiments.bottleneck.config import PRESETS
from jaxvae.cli import _parser
from jaxvae.commands.experiment import _parse


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--out", "~/x"],
        ["train", "--out=~/x"],
        ["capture", "run", "--out", "~/x"],
        ["measure", "a.npy", "--out", "~/x"],
        ["report", "run", "--out", "~/x"],
    ],
)
def test_the_home_folder_is_expanded_in_quotes(words, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert _parser().parse_args(words).out == Path("/home/somebody/x")


def test_the_home_folder_is_expanded_by_experiments(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert _parse("bottleneck", "", PRESETS, ["--out", "~/x"])[1] == Path("/home/somebody/x")


def test_the_run_of_a_report_may_be_in_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    given = _parser().parse_args(["report", "~/run"])
    assert given.folder == Path("/home/somebody/run")


@pytest.mark.parametrize("words", [["train", "--out", ""], ["report", ""]])
def test_no_path_is_not_the_current_folder(words, capsys):
    with pytest.raises(SystemExit):
        _parser().parse_args(words)
    assert "expected a path, got an empty text" in capsys.readouterr().err
