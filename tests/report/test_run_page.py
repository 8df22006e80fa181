"""What the page of a run says of the end of training, and the pictures that it holds."""

import re

import numpy as np
import pytest
from PIL import Image

from jaxvae.analysis.estimate import Estimate
from jaxvae.report.page import picture_of
from jaxvae.report.run_page import _end_of, _verdict
from jaxvae.runs.curve import Curve

STEPS = [*range(10, 1010, 10)]
NOISE = np.random.default_rng(0).normal(size=100)


@pytest.mark.parametrize("begun", [0, 100_000])
@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (500 - 0.1 * np.array(STEPS) + NOISE, "it was still improving"),
        (500 + 0.1 * np.array(STEPS) + NOISE, "it rose"),
        (500 + NOISE, "no change beyond twice its standard error"),
    ],
)
def test_the_last_quarter_of_training_is_compared_with_the_one_before(loss, expected, begun):
    """Of training in this folder: the curve of a run that began with another has no more."""
    said = _end_of(Curve([begun + step for step in STEPS], {"loss": loss.tolist()}, begun))
    assert said.endswith(f": {expected}.")
    assert (" of training after step 100,000 the loss" in said) == bool(begun)
    change = loss[75:].mean() - loss[50:75].mean()
    number = re.search(r"changed by ([+-][\d.]+) ± ", said)[1]
    assert float(number) == pytest.approx(change, abs=0.06)


def test_of_a_training_of_few_windows_nothing_is_said():
    said = _end_of(Curve([100, 200], {"loss": [2.0, 1.0]}))
    assert said.startswith("Training was too short to tell")
    said = _end_of(Curve([8100, 8200], {"loss": [2.0, 1.0]}, 8000))
    assert said.startswith("Training after step 8,000 was too short to tell")


def test_what_one_image_cannot_tell_is_not_said():
    assert "not known" in _verdict(Estimate(np.float64(-3.0), np.float64(np.nan)))


def test_a_picture_that_is_too_large_is_made_smaller_and_says_so(tmp_path):
    sizes = {"samples": (900, 700), "traversals": (30, 20)}
    for name, (width, height) in sizes.items():
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    large, small = (picture_of(tmp_path / f"{name}.png", "") for name in sizes)
    assert len(large.file) < 700_000 < (tmp_path / "samples.png").stat().st_size
    assert "Shown smaller here than in samples.png." in large.reads
    assert small.file == (tmp_path / "traversals.png").read_bytes()
