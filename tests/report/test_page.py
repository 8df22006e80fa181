"""A page from data made by hand."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

from jaxvae.report.page import Chart, Page, Table, Trace, page_text, settings_of, write_page
from jaxvae.report.traces import LINE_NUMBERS, MAP_NUMBERS, heat_map, line

HOSTILE = '</script><script>alert("1")</script>'


class _Parser(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def parsed(text):
    parser = _Parser()
    parser.feed(text)
    return parser


def make_page(name="digits"):
    drawn = {"type": "scatter", "name": name, "x": [0, 1], "y": np.array([0.123456789, np.nan])}
    chart = Chart(name, name, [Trace(drawn, {"epoch": name})], choices={"epoch": [name]})
    return Page(name, [f"K = 4 is enough for {name}."], {name: name}, [chart],
                [Table(name, [{name: "1.5±0.1"}])])  # fmt: skip


def test_the_page_holds_the_answer_and_its_text_is_the_same_twice():
    text = page_text(make_page())
    assert "K = 4 is enough for digits." in parsed(text).text
    assert text == page_text(make_page())


def test_names_that_hold_a_script_add_none():
    plain, hostile = (parsed(page_text(make_page(name))) for name in ("digits", HOSTILE))
    assert hostile.tags.count("script") == plain.tags.count("script") == 3
    assert f"K = 4 is enough for {HOSTILE}." in "".join(hostile.text)


def test_commands_between_backticks_are_code_and_hold_no_tags():
    text = page_text(Page("runs", ["Try `jaxvae train --from <b> & c`, or `more`."], {}))
    assert "Try <code>jaxvae train --from &lt;b&gt; &amp; c</code>, or <code>more</code>." in text


def test_what_is_not_finite_is_a_gap_and_digits_are_cut():
    found = re.search(r'id="charts">(.*?)</script>', page_text(make_page()))[1]
    assert json.loads(found)[0]["traces"][0]["drawn"]["y"] == [0.123457, None]


@pytest.mark.parametrize("page", [make_page(), Page("empty", ["Nothing was measured."], {})])
def test_a_page_is_one_file_of_less_than_8_mb(tmp_path, page):
    path = write_page(tmp_path / "new", page)
    assert path.stat().st_size < 8e6
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]


def test_a_page_links_the_figures_that_it_is_given_and_no_others(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/of_another_command.png").touch()
    page = write_page(tmp_path, make_page(), [tmp_path / "figures/costs.png"])
    assert re.findall('href="(figures.*?)"', page.read_text()) == ["figures/costs.png"]


def test_columns_without_numbers_are_of_words():
    rows = [{"K": "2", "evidence": "at 2", "Δ": "·"}, {"K": "4", "evidence": "", "Δ": "+0.5±0.1"}]
    assert Table("sizes", rows).words == {"evidence"}


def test_charts_of_as_many_numbers_as_they_may_have_stay_below_8_mb(tmp_path):
    numbers = np.random.default_rng(0).random((LINE_NUMBERS // 8, 8))
    names = [f"decoder/{place}" for place in range(8)]
    lines = [
        Trace(line(names, row, row, name="K = 128", color="#123456", null=row), {"epoch": "200"})
        for row in numbers
    ]
    cells = np.random.default_rng(1).random((MAP_NUMBERS // 64, 8, 8))
    maps = [Trace(heat_map(names, names, each, each, name="Δ"), {"epoch": "200"}) for each in cells]
    charts = [Chart("lines", "", lines)] * 3 + [Chart("maps", "", maps)]
    assert write_page(tmp_path, Page("large", [], {}, charts)).stat().st_size < 8e6


def test_settings_are_said_in_words_also_from_a_file(tmp_path):
    attributes = {
        "points": np.int64(500),
        "share": np.float32(0.5),
        "sizes": np.array([2, 4]),
        "one": np.array([7]),
        "binarize": np.bool_(True),
        "none": "",
        "run": '{"latents": null, "image_size": 32, "coefficients": {"beta": [0.5, 1.0]}}',
    }
    expected = {
        "points": "500",
        "share": "0.5",
        "sizes": "2, 4",
        "one": "7",
        "binarize": "yes",
        "image size": "32",
        "coefficients": "beta = 0.5, 1",
    }
    assert settings_of(xr.Dataset(attrs=attributes)) == expected
    del attributes["binarize"]  # netCDF has no truth values
    xr.Dataset(attrs=attributes).to_netcdf(tmp_path / "records.nc")
    del expected["binarize"]
    # Nor lists of one number.
    assert settings_of(xr.load_dataset(tmp_path / "records.nc")) == expected


def test_attributes_that_are_no_words_are_called_by_others_and_those_of_sentences_are_read():
    records = xr.Dataset(
        attrs={"labeled": 9, "network": "dense_vae", "estimators": "intrinsic_dimension: TwoNN"}
    )
    assert settings_of(records, {"labeled": "images of classifiers"}) == {
        "images of classifiers": "9",
        "network": "dense_vae",
        "estimators": "intrinsic dimension: TwoNN",
    }
