"""A page from data made by hand."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from jaxvae.report.page import Chart, Page, Table, Trace, page_text, write_page

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


def test_what_is_not_finite_is_a_gap_and_digits_are_cut():
    found = re.search(r'id="charts">(.*?)</script>', page_text(make_page()))[1]
    assert json.loads(found)[0]["traces"][0]["drawn"]["y"] == [0.123457, None]


@pytest.mark.parametrize("page", [make_page(), Page("empty", ["Nothing was measured."], {})])
def test_a_page_is_one_file_of_less_than_8_mb(tmp_path, page):
    path = write_page(tmp_path / "new", page)
    assert path.stat().st_size < 8e6
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]
