"""`jaxvae advise`: the right size of images whose rank is known, in words and in files."""

import dataclasses
import io
import json

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from jaxvae.advising.reading import read_records
from jaxvae.advising.study import StudyOutcome
from jaxvae.analysis.sizing import Training
from jaxvae.cli import main
from jaxvae.commands.advise import _blurred, _ending, _read
from jaxvae.runs.config import RunConfig
from tests.advising.images import linear_images
from tests.advising.records import falling, records_of

# One wide layer and long steps: models of one size differ little after a second of training.
SMALL = ("--option", "widths=128", "--learning-rate", "1e-2", "--points", "500")


def save_images(folder):
    """Images of rank 2, with many held-out ones."""
    images = linear_images(2)
    np.savez(folder / "images.npz", x_train=images[:2000], x_test=images[2000:])
    return folder / "images.npz"


def advise(capsys, *arguments):
    status = main(["advise", *map(str, arguments)])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.mark.parametrize(
    ("lost", "failed", "said"),
    [
        (
            falling(8),
            [],
            "No more than 8 seeds, or 12 where they would decide, and sizes up to 512 are tried; "
            "a `jaxvae sweep` may have more, and `jaxvae advise` reads it.",
        ),
        (np.full((4, 5), 0.9), [], "More sizes or seeds would not change that, so that no more"),
        (falling(8), [0, 1, 2], "So many models failed that no more are trained."),
        (falling(99) * [[1], [1], [1], [9]], [], "The largest size was not trained well, so that"),
        (
            [[0.2] * 2, [0.07, 0.15], [0.37, 0.17]],
            [],
            "In the means of these seeds, which may be chance, the largest size has 2 times the Δ",
        ),
    ],
    ids=["at the limit", "nothing learned", "failed", "not trained well", "perhaps not"],
)
def test_why_no_more_models_are_trained_is_said(lost, failed, said):
    records = records_of(lost)
    records["failed"][{"latents": failed}] = True
    assert _ending(StudyOutcome(records, None, 8), 5).startswith(said)


def test_on_few_images_no_seeds_are_said_to_be_lacking():
    records = records_of(falling(4), active=[2.0, 4, 8, 8])
    records.attrs["points"] = 60
    assert _ending(StudyOutcome(records, None, 8), 5) == "So few images do not tell more."


@pytest.mark.parametrize(("lost", "told"), [(0.1, False), (0.3, True)])
def test_reconstructions_that_lose_much_of_the_variance_are_told(lost, told):
    images, deviation = np.array([[0] * 16, [200] * 16], np.uint8).reshape(2, 4, 4, 1), 0.3
    # Variance of 16 pixels (100 / 255)^2; the rate of the records is 20 nats.
    variance, squared = 16 * (100 / 255) ** 2, deviation**2
    nll = 8 * np.log(2 * np.pi * squared) + lost * variance / 2 / squared
    reading = read_records(records_of(falling(4), cost=20 + nll + np.array([9.0, 0, 1, 2])))
    config = RunConfig(
        data="x", network="dense_vae", likelihood="gaussian",
        likelihood_options={"standard_deviation": deviation},
    )  # fmt: skip
    text = _blurred(reading, config, images)
    assert ("those of 4 latents, the best, lose 30% of the variance" in text) == told
    assert ("standard_deviation=0.1`" in text) == told
    assert _blurred(reading, dataclasses.replace(config, likelihood="bernoulli"), images) == ""


def test_that_the_minutes_are_over_is_said():
    wanted = Training((2, 4), 3, "more seeds")
    within = "Not decided within 5 minutes; the same command continues."
    assert _ending(StudyOutcome(None, wanted, 8), 5) == within
    assert _ending(StudyOutcome(records_of(falling(99)), wanted, 8), 5) == within
    over = "The 5 minutes are over, and the same command continues."
    assert _ending(StudyOutcome(records_of(falling(8)), wanted, 8), 5) == over
    nothing = records_of(np.full((4, 5), 0.9))
    assert _ending(StudyOutcome(nothing, wanted, 8), 5) == over


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """The folder of an answer on images of rank 2, for some epochs."""
    folder = tmp_path_factory.mktemp("advise")
    data = save_images(folder)
    asked = ("--data", data, *SMALL, "--epochs", 40, "--out", folder / "out")
    return folder / "out", ["advise", *map(str, asked)]


@pytest.mark.slow
def test_images_of_rank_two_need_a_bottleneck_of_two(answered, capsys):
    out, command = answered
    assert main([*command, "--minutes", "10"]) == 0
    shown = capsys.readouterr().out.splitlines()
    summary = (out / "summary.md").read_text(encoding="utf-8")
    for each in ("Use a bottleneck of 2:", "The intrinsic dimension of the data is "):
        # Printed once, however long before the answer, and a paragraph of the summary.
        (line,) = (line for line in shown if line.startswith(each))
        assert f"\n\n{line}\n\n" in summary
    assert "| FONDUE |" in summary
    with xr.open_dataset(out / "records.nc") as records:
        # None below the dimension of the data.
        assert records["latents"].values.tolist() == [2, 3, 6]
        assert records.attrs["fewest_latents"] == 2
    assert {"report.html", "figures", "advise.json", "epochs-40"} <= {p.name for p in out.iterdir()}


@pytest.mark.slow
def test_the_same_command_answers_again_and_trains_nothing(answered, capsys):
    out, command = answered
    before = {path: path.stat().st_mtime_ns for path in out.glob("epochs-*/runs/*.npz")}
    assert before
    assert main([*command, "--minutes", "10"]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in out.glob("epochs-*/runs/*.npz")}
    assert "Use a bottleneck of 2:" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_its_folder_is_read_like_that_of_a_sweep(answered, capsys):
    out, _ = answered
    status, printed, _ = advise(capsys, out)
    assert status == 0
    assert " ".join(printed.split()).startswith("Use a bottleneck of 2:")


@pytest.mark.slow
def test_other_settings_in_the_same_folder_are_refused(answered, capsys):
    _, command = answered
    assert main([*command, "--coefficient", "beta=4"]) == 2
    assert "choose another --out" in capsys.readouterr().err


@pytest.mark.slow
def test_without_time_nothing_is_decided_and_the_same_command_goes_on(tmp_path, capsys):
    data = save_images(tmp_path)
    asked = ("--data", data, *SMALL, "--epochs", 2, "--out", tmp_path / "out")
    status, printed, _ = advise(capsys, *asked, "--minutes", 1e-9)
    assert status == 0
    assert "the same command continues" in printed
    assert json.loads((tmp_path / "out" / "advise.json").read_text())["epochs"] == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            (),
            "expected --data DATA, to train models on, or else the folder of a sweep, got neither",
        ),
        (("--data", "sprites", "--latents", "4"), "expected no --latents"),
        (("--data", "sprites", "--network", "two_layer_hvae"), "got the hierarchy two_layer_hvae"),
    ],
)
def test_what_makes_no_sense_is_refused(capsys, arguments, expected):
    status, _, said = advise(capsys, *arguments)
    assert status == 2
    assert expected in said


def test_no_points_are_refused(capsys):
    with pytest.raises(SystemExit):
        advise(capsys, "--data", "sprites", "--points", "0")
    assert "expected a count of at least 1, got '0'" in capsys.readouterr().err


def test_a_terminal_is_told_that_it_concludes(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxvae.commands.advise.conclude", lambda records: records)
    monkeypatch.setattr(
        "jaxvae.commands.advise.printed", lambda records: ["Use a bottleneck of 8."]
    )
    records_of(falling(8)).to_netcdf(tmp_path / "records.nc")
    terminal = io.StringIO()
    lines = _read(tmp_path, Console(file=terminal, force_terminal=True, width=80))
    assert lines == ["Use a bottleneck of 8."]
    assert "concluding from the records" in terminal.getvalue()


def test_a_folder_without_records_is_refused(tmp_path, capsys):
    status, _, said = advise(capsys, tmp_path)
    assert status == 2
    assert "got no records.nc" in said
    for place, state in (("none", "nothing there"), ("file", "something else")):
        (tmp_path / "file").touch()
        status, _, said = advise(capsys, tmp_path / place)
        assert status == 2
        assert f"expected the folder of a sweep, got {tmp_path / place}, {state}" in said
    status, _, said = advise(capsys, tmp_path, "--out", tmp_path / "out", "--epochs", 3)
    assert status == 2
    assert "expected the folder of a sweep alone" in said
    assert "got --out, --epochs beside it" in said
    (tmp_path / "advise.json").write_text("{}")
    assert (
        "got a study that was interrupted: the command with --data" in advise(capsys, tmp_path)[2]
    )
    (tmp_path / "epochs-40").mkdir()
    said = advise(capsys, tmp_path / "epochs-40")[2]
    assert f"got a part of it, {tmp_path / 'epochs-40'}: `jaxvae advise {tmp_path}`" in said
    (tmp_path / "run.json").write_text("{}")
    assert main(["advise", str(tmp_path)]) == 2
    assert "expected the folder of a sweep over sizes, got the run in" in capsys.readouterr().err


def test_a_folder_of_images_that_are_no_records_is_refused_with_what_trains_on_them(
    tmp_path, capsys
):
    images = tmp_path / "my disc"
    (images / "figures").mkdir(parents=True)
    (images / "figures" / "imbalance.png").touch()
    assert "got no records.nc" in advise(capsys, images)[2]
    (images / "small").mkdir()
    (images / "small" / "0.PNG").touch()
    status, _, said = advise(capsys, images)
    assert status == 2
    assert f"got the images in {images}: `jaxvae advise --data '{images}'` trains" in said


def test_copies_of_too_few_held_out_images_are_refused_before_anything_is_written(tmp_path, capsys):
    np.save(tmp_path / "images.npy", np.repeat(linear_images(2, n=40), 50, axis=0))
    asked = ("--data", tmp_path / "images.npy", "--out", tmp_path / "out")
    status, _, said = advise(capsys, *asked)
    assert status == 2
    assert "expected at least 50 distinct held-out images, got" in said
    assert "are copies of others" in said
    assert "at least 500 are needed in all" in said
    assert not (tmp_path / "out").exists()
