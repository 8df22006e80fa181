"""The loss of a run over its training, as its folder keeps it."""

import pytest

from jaxvae.runs.curve import CURVE, kept_curve, read_curve
from jaxvae.training.progress import Progress
from tests.files.unreadable import MESSAGE, make_readable, make_unreadable


def progress(step, loss):
    return Progress(step, 1.0, loss, {"kl": loss / 2})


def test_a_window_holds_the_mean_over_its_steps_also_where_training_is_interrupted(tmp_path):
    def interrupted():
        with kept_curve(tmp_path, first=0, last=800) as keep:
            for step, loss in ((1, 8.0), (4, 4.0), (8, 2.0), (10, 1.0)):
                keep(progress(step, loss))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    means = {"loss": [5.0, 2.0, 1.0], "kl": [2.5, 1.0, 0.5]}
    assert read_curve(tmp_path) == ([4, 8, 10], means, 0)


def test_a_disk_that_is_full_by_then_hides_no_reason_that_training_ended(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "no space")

    def interrupted():
        with kept_curve(tmp_path, first=0, last=800) as keep:
            for step in (1, 4):
                keep(progress(step, 8.0))
            monkeypatch.setattr("jaxvae.runs.curve.write_text_whole", full)
            keep(progress(5, 8.0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_of_a_run_that_began_with_another_as_many_windows_are_kept(tmp_path):
    for first in (10_000, 10_004):
        with kept_curve(tmp_path, first=first, last=10_008, begun=10_000) as keep:
            for step in range(first + 1, 10_009):
                keep(progress(step, 1.0))
    curve = read_curve(tmp_path)
    assert (curve.steps, curve.begun) == ([*range(10_001, 10_009)], 10_000)


def test_a_curve_that_cannot_be_read_is_not_written_over(tmp_path):
    with kept_curve(tmp_path, first=0, last=8) as keep:
        keep(progress(4, 2.0))
    make_unreadable(tmp_path / CURVE)
    with pytest.raises(OSError, match=MESSAGE.format(CURVE)), kept_curve(tmp_path, first=4, last=8):
        pass
    make_readable(tmp_path / CURVE)
    assert read_curve(tmp_path).steps == [4]


def test_what_is_trained_again_takes_the_place_of_what_was_lost(tmp_path):
    for first, loss in ((0, 2.0), (4, 1.0)):
        with kept_curve(tmp_path, first=first, last=8) as keep:
            for step in range(first + 1, 9):
                keep(progress(step, loss))
    curve = read_curve(tmp_path)
    assert curve.steps == [*range(1, 9)]
    assert curve.means["loss"] == [2.0] * 4 + [1.0] * 4


def test_terms_of_other_names_begin_a_curve_of_their_own(tmp_path):
    for step, terms in ((1, {"kl": 1.0, "extra": 2.0}), (2, {"kl": 1.0})):
        with kept_curve(tmp_path, first=step - 1, last=2) as keep:
            keep(Progress(step, 1.0, 3.0, terms))
    assert read_curve(tmp_path) == ([2], {"loss": [3.0], "kl": [1.0]}, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"steps": [1], "means": {"loss": []}}',
        '{"steps": [], "means": {}}',
        '{"steps": ["1"], "means": {"loss": [1.0]}}',
        '{"steps": [1], "means": {"loss": [1.0]}, "begun": "0"}',
    ],
)
def test_a_damaged_curve_is_none(tmp_path, text):
    (tmp_path / CURVE).write_text(text)
    assert read_curve(tmp_path) == ([], {}, 0)
