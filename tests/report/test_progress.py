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


def said_in(console):
    lines = console.file.getvalue().splitlines()
    return [line.partition(" done after ")[0] for line in lines if " done after " in line]


def test_steps_and_measurements_count_by_their_shares_of_the_time(shown):
    told = []
    with progress.sweep_progress(shown, units=2) as sweep:
        unit = sweep.begin("first", lambda share, status: told.append(share), 0.2)
        unit.start(10, 2)
        unit.report(step(5))
        unit.measured()
        unit.report(step(10))
        unit.measured()
        sweep.finish(1, "the first")
        unit = sweep.begin("second", lambda share, status: None)
        unit.start(10, 0)
        unit.report(step(5))
        sweep.finish(2, "the second")
    assert told == pytest.approx([0, 0, 0.4, 0.5, 0.9, 1.0])
    assert said_in(shown) == [
        *["0%", "0%", "0%", "20%", "25%", "45%", "50%"],
        *["50%", "50%", "50%", "75%", "100%"],
    ]
    lines = shown.file.getvalue().splitlines()
    assert [line for line in lines if line.startswith("the")] == ["the first", "the second"]


def test_what_others_have_done_counts_from_the_start(shown):
    with progress.sweep_progress(shown, units=4, done=1) as sweep:
        sweep.begin("mine", lambda share, status: None)
        sweep.finish(4, "three of others were done meanwhile")
    assert said_in(shown) == ["25%", "25%", "100%"]


def test_of_a_sweep_that_others_work_on_what_is_done_and_begun_is_counted(shown):
    with progress.watched_progress(shown, units=4) as show:
        show(0, {"a": ("one", 0.5, "compiling")})
        show(1, {"b": ("two", 0.25, "loss 3.0"), "c": ("three", 0.75, "measuring")})
        # Their titles may be the same.
        show(1, {"b": ("two", 0.5, "loss 2.0"), "d": ("two", 0.5, "loss 2.0")})
        show(4, {})
    assert said_in(shown) == ["12%", "50%", "50%", "100%"]


@pytest.mark.parametrize(
    ("width", "title"),
    [
        (160, "dense_vae ...s, beta_vae: beta {}; seed 0 "),
        (80, "dens...ta {}; seed 0 "),
    ],
)
def test_the_bars_of_units_with_long_titles_can_be_told_apart(monkeypatch, width, title):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Console(file=io.StringIO(), force_terminal=True, width=width)
    with progress.watched_progress(terminal, units=2) as show:
        titles = (f"dense_vae on sprites, beta_vae: beta {beta}; seed 0" for beta in (1, 4))
        show(0, {title: (title, 0.5, "compiling") for title in titles})
    shown = terminal.file.getvalue()
    for beta in (1, 4):
        assert title.format(beta) in shown


def test_lines_are_a_minute_apart(shown, monkeypatch):
    monkeypatch.undo()
    with progress.sweep_progress(shown, units=1) as sweep:
        unit = sweep.begin("only", lambda share, status: None)
        unit.start(2, 0)
        unit.report(step(1))
    assert "done after" not in shown.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_bar_share_and_time_are_there_however_narrow_the_terminal_is(width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    terms = {"reconstruction": 560.4, "kl": 1.2, "a term with a long name": 3.0}
    with progress.sweep_progress(console, units=2) as sweep:
        title = "dense_vae on mnist, beta_vae: latents 4, 16; beta 1, 4; seed 0, 1, 2, ..., 4"
        unit = sweep.begin(title, lambda share, status: None)
        unit.start(10, 0)
        unit.report(Progress(5, 84.0, 561.0, terms))
    frames = console.file.getvalue().splitlines()
    lines = [line for line in frames if line.startswith("de") and "loss" in line]
    assert lines
    for line in lines:
        assert "50%" in line
        assert "━" in line
        assert ":--" in line or "0:00" in line
