"""The scripts of `examples/tutorials`, as somebody runs them who has just begun."""

import re
import runpy
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TUTORIALS = Path(__file__).parents[1] / "examples" / "tutorials"
NUMBER = r"(-?\d+\.\d+)"


@pytest.fixture
def printed(request, capsys):
    runpy.run_path(str(TUTORIALS / request.param), run_name="__main__")
    return capsys.readouterr().out


def columns(pattern, text):
    return [[float(number) for number in found] for found in re.findall(pattern, text)]


@pytest.mark.parametrize("printed", ["bottleneck.py"], indirect=True)
def test_a_larger_bottleneck_loses_less_and_one_latent_is_a_line(printed):
    pattern = rf"D {NUMBER}, R {NUMBER}, ID of the mean {NUMBER} .*\) {NUMBER}"
    distortion, _, dimension, lost = zip(*columns(pattern, printed), strict=True)
    assert len(lost) == 4
    assert distortion[3] < distortion[0]
    assert lost[3] < lost[0] / 2
    assert dimension[0] == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("printed", ["rates.py"], indirect=True)
def test_each_layer_has_more_rate_where_its_beta_is_smaller(printed):
    upper, lower, _ = zip(
        *columns(rf"R_2 {NUMBER}, R_1 {NUMBER}, D {NUMBER}", printed), strict=True
    )
    assert upper[0] > upper[2]
    assert lower[2] > lower[0]


@pytest.mark.parametrize("printed", ["learning.py"], indirect=True)
def test_every_layer_comes_closer_to_its_end(printed):
    rows = columns(rf"\S+ +{NUMBER} +{NUMBER} +{NUMBER} +{NUMBER} +{NUMBER}", printed)
    assert len(rows) >= 6
    for similar in rows:
        assert similar[0] < similar[-1] <= 1
