"""A page in a real browser: Chromium without a screen, driven by Playwright."""

import shutil

import numpy as np
import pytest

from jaxvae.report.page import Chart, Page, Table, Trace, write_page

pytestmark = pytest.mark.slow

# A closed machine refuses what a browser asks for by itself.
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EPOCHS, SIZES = ("0", "3", "10"), ("2", "4")
ROWS = ("10.5±0.1", "9.25±0.5", "·", "1,234.0±2.0")


def value_of(epoch, size):
    """What the chart draws there."""
    return [float(epoch), float(size), float(epoch) + float(size)]


def make_page():
    traces = [
        Trace(
            {"type": "scatter", "x": ["input", "mean", "output"], "y": np.array(value_of(a, b))},
            {"epoch": a, "K": b},
        )
        for a in EPOCHS
        for b in SIZES
    ]
    chart = Chart("Profile", "A line.", traces, choices={"K": SIZES, "epoch": EPOCHS})
    table = Table("Numbers", [{"K": str(place), "Δ": text} for place, text in enumerate(ROWS)])
    return Page("A sweep", ["K = 4 is enough."], {"seeds": "0, 1"}, [chart], [table])


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the path")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=chromium, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    """The page, opened once, as it takes seconds; what the browser said and asked for."""
    said, requests = [], []
    tab = browser.new_page(viewport={"width": 1100, "height": 800})
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(write_page(tmp_path_factory.mktemp("page"), make_page()).as_uri())
    tab.wait_for_selector(".plot .main-svg")
    yield tab, said, requests
    tab.close()


def drawn(tab):
    return tab.evaluate("Array.from(document.querySelector('.plot').data[0].y)")


def test_it_asks_for_nothing_but_itself_and_says_nothing(opened):
    tab, said, requests = opened
    assert said == []
    assert requests == [tab.url]


def test_the_slider_and_the_list_choose_what_is_drawn(opened):
    tab, said, _ = opened
    assert drawn(tab) == value_of("10", "4")
    tab.focus("input[type=range]")
    tab.keyboard.press("ArrowLeft")
    assert drawn(tab) == value_of("3", "4")
    assert tab.text_content("output") == "3"
    tab.select_option("select", "2")
    assert drawn(tab) == value_of("3", "2")
    assert said == []


def test_a_click_on_a_heading_sorts_numbers_both_ways_and_what_is_unknown_comes_last(opened):
    tab, _, _ = opened
    heading, cells = "th:nth-child(2) button", "tbody td:nth-child(2)"
    tab.click(heading)
    ascending = tab.locator(cells).all_text_contents()
    assert ascending == ["9.25±0.5", "10.5±0.1", "1,234.0±2.0", "·"]
    tab.click(heading)
    assert tab.locator(cells).all_text_contents() == ["1,234.0±2.0", "10.5±0.1", "9.25±0.5", "·"]


def test_every_control_is_reached_with_the_tab_key(opened):
    tab, _, _ = opened
    reached = set()
    for _ in range(20):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement.tagName + document.activeElement.id"))
    assert {"BUTTONmode", "SELECT", "INPUT", "BUTTON"} <= reached


def test_light_and_dark_go_by_the_system_until_they_are_switched(opened):
    tab, _, _ = opened
    brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        assert (tab.evaluate(brightness) > 128) == (scheme == "light")
    tab.click("#mode")
    assert tab.evaluate(brightness) > 128


def test_nothing_is_wider_than_a_phone(opened):
    tab, _, _ = opened
    tab.set_viewport_size({"width": 380, "height": 800})
    tab.wait_for_timeout(300)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 380
