"""What is shown of a sweep while it runs, where no terminal draws bars."""

import io

import pytest
from rich.console import Console

from jaxvae.report import progress
from jaxvae.training import Progress


@pytest.fixture
def shown(monkeypatch):
    """A console that no terminal shows, on which every change is said."""
    monkeypatch.setattr(progress, "_LINE_SECONDS", -1.0)
    return Console(file=io.StringIO(), width=80)


def step(number):
    return Progress(number, 1.0, 1.0, {})


def test_steps_and_measurements_count_by_their_shares_of_the_time(shown):
    with progress.sweep_progress(shown, runs=2) as sweep:
        sweep.start("first", 10, 2, 0.2)
        sweep.report(step(5))
        sweep.measured()
        sweep.report(step(10))
        sweep.measured()
        sweep.finish("the first")
        sweep.start("second", 10)
        sweep.report(step(5))
        sweep.finish("the second")
    lines = shown.file.getvalue().splitlines()
    said = [line.partition(" done after ")[0] for line in lines if " done after " in line]
    assert said == ["20%", "25%", "45%", "50%", "50%", "75%", "100%"]
    assert [line for line in lines if line.startswith("the")] == ["the first", "the second"]


def test_lines_are_a_minute_apart(shown, monkeypatch):
    monkeypatch.undo()
    with progress.sweep_progress(shown, runs=1) as sweep:
        sweep.start("only", 2)
        sweep.report(step(1))
    assert "done after" not in shown.file.getvalue()
