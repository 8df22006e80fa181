"""A page in a real browser: Chromium without a screen, driven by Playwright."""

import shutil
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from jaxvae.report.page import Chart, Page, Picture, Table, Trace, write_page

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
PICTURES = {"beta 1": b"one", "beta 2": b"two"}
CELLS = [*PICTURES, "beta 3"]
ROWS = ("10.5±0.1", "9.25±0.5", "·", "< 0.001", "1,234.0±2.0")


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
    chart = Chart("Profile", "A line.", traces, y="K", choices={"K": SIZES, "epoch": EPOCHS})
    cells = {
        "type": "scatter",
        "mode": "markers",
        "x": [1, 2, 3],
        "y": [1, 2, 3],
        "customdata": CELLS,
        "marker": {"size": 14, "color": [1, 2, 3]},
    }
    plane = Chart("Plane", "Cells.", [Trace(cells)], "rate", "rate", pictures=PICTURES)
    table = Table("Numbers", [{"K": str(place), "Δ": text} for place, text in enumerate(ROWS)])
    samples = BytesIO()
    Image.new("L", (80, 20)).save(samples, "PNG")
    charts, pictures = [chart, plane], [Picture("Samples", samples.getvalue(), "Some samples.")]
    return Page("A sweep", ["K = 4 is enough."], {"seeds": "0, 1"}, charts, [table], pictures)


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


def test_the_axis_stays_where_it_is_when_the_slider_moves(opened):
    tab, _, _ = opened
    tab.select_option("select", "4")
    ranges = []
    for key in ("End", "Home"):
        tab.focus("input[type=range]")
        tab.keyboard.press(key)
        ranges.append(tab.evaluate("document.querySelector('.plot').layout.yaxis.range"))
    # Values of all epochs at K = 4 are from 0 to 14, beside which there is a twentieth of room.
    np.testing.assert_allclose(ranges, [[-0.7, 14.7]] * 2)
    tab.keyboard.press("End")


@pytest.mark.parametrize(
    ("y", "error", "is_log", "expected"),
    [
        ([1.0, None, 3.0], None, False, [0.9, 3.1]),
        ([1.0, None, 3.0], [0.5, 9.0, None], False, [0.375, 3.125]),
        ([0.01, None, 1.0, 0.0], None, True, [-2.1, 0.1]),
        ([1.0, 100.0], [2.0, 0.0], True, [-0.1, 2.1]),
        ([2.0, 2.0], None, False, None),
        ([None], None, False, None),
    ],
)
def test_a_range_is_that_of_what_is_known_with_its_errors(opened, y, error, is_log, expected):
    tab, _, _ = opened
    drawn = {"y": y} | ({"error_y": {"array": error}} if error else {})
    traces = [{"drawn": drawn}, {"drawn": {"type": "heatmap", "y": ["a", "b"]}}]
    found = tab.evaluate("([traces, isLog]) => range(traces, isLog)", [traces, is_log])
    if expected is None:
        assert found == {}
    else:
        np.testing.assert_allclose(found["range"], expected)


def test_a_chosen_quantity_is_the_title_of_its_axis(opened):
    tab, _, _ = opened
    titles = []
    for place in (0, 1):
        layout = f"document.querySelectorAll('.plot')[{place}].layout"
        titles.append(tab.evaluate(f"{layout}.yaxis.title.text"))
    assert titles == [tab.evaluate("document.querySelector('select').value"), "rate"]


def test_a_click_on_a_heading_sorts_numbers_both_ways_and_what_is_unknown_comes_last(opened):
    tab, _, _ = opened
    heading, cells = "th:nth-child(2) button", "tbody td:nth-child(2)"
    tab.click(heading)
    ascending = tab.locator(cells).all_text_contents()
    assert ascending == ["< 0.001", "9.25±0.5", "10.5±0.1", "1,234.0±2.0", "·"]
    tab.click(heading)
    assert tab.locator(cells).all_text_contents() == [
        "1,234.0±2.0",
        "10.5±0.1",
        "9.25±0.5",
        "< 0.001",
        "·",
    ]


def test_a_click_on_a_cell_or_the_keys_in_the_list_show_its_pictures_where_it_has_some_and_ring_it(
    opened,
):
    tab, said, _ = opened
    plane = tab.locator(".chart").nth(1)
    shown = plane.locator("figure:not([hidden])")
    rings = "Array.from(document.querySelectorAll('.plot')[1].data[0].marker.line.width)"
    assert shown.get_attribute("data-picture") == "beta 1"
    assert tab.evaluate(rings) == [3.5, 1.5, 0]
    # A click on the third, which has no pictures, changes nothing.
    for index in (1, 2):
        cell = plane.locator(".scatterlayer path.point").nth(index)
        cell.scroll_into_view_if_needed()
        place = cell.bounding_box()
        tab.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
        assert shown.get_attribute("data-picture") == "beta 2"
        assert tab.evaluate(rings) == [1.5, 3.5, 0]
    tab.focus("[data-pictures]")
    tab.keyboard.press("ArrowUp")
    assert shown.get_attribute("data-picture") == "beta 1"
    assert tab.evaluate(rings) == [3.5, 1.5, 0]
    assert said == []


def test_a_reader_hears_what_a_plot_is_and_what_is_in_it(opened):
    tab, _, _ = opened
    plot = tab.get_by_role("group", name="Profile", exact=True)
    described = plot.get_attribute("aria-describedby")
    assert tab.locator(f"#{described}").text_content() == "A line."
    assert plot.get_by_text("output", exact=True).count() == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.01, 0.1, 1], [0.01, 0.1, 1]),
        ([0.15, 2.5], [0.2, 0.5, 1, 2]),
        ([0.21, 0.52, None, 0], [0.3, 0.4, 0.5]),
        ([0.93, 0.96], [0.93, 0.94, 0.95, 0.96]),
    ],
)
def test_a_logarithmic_axis_has_three_short_ticks_among_the_values_at_least(
    opened, values, expected
):
    tab, _, _ = opened
    found = tab.evaluate("values => ticks(values)", values)
    least, most = min(filter(None, values)), max(filter(None, values))
    assert [tick for tick in found["tickvals"] if least <= tick <= most] == expected
    assert [float(text) for text in found["ticktext"]] == found["tickvals"]


def test_every_control_is_reached_with_the_tab_key(opened):
    tab, _, _ = opened
    wanted = tab.locator("button, select, input").count()
    place = """() => [...document.querySelectorAll("button, select, input")]
        .indexOf(document.activeElement)"""
    reached = set()
    tab.evaluate("document.activeElement.blur()")
    for _ in range(4 * wanted):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate(place))
    assert reached >= {*range(wanted)}


def test_light_and_dark_go_by_the_system_until_they_are_switched_and_figures_with_them(opened):
    tab, _, _ = opened
    brightness = """(selectors) => selectors.map(([selector, property]) => {
        const color = getComputedStyle(document.querySelector(selector))[property];
        return Number(color.match(/\\d+/)[0]) > 128;
    }).join()"""
    texts = [
        ["body", "backgroundColor"],
        [".plot .xtick text", "fill"],
        [".plot .ytick text", "fill"],
    ]

    def assert_is(scheme):
        # The browser tells the page of a change of the system when it has time.
        wanted = "true,false,false" if scheme == "light" else "false,true,true"
        tab.wait_for_function(
            f"([texts, wanted]) => ({brightness})(texts) === wanted", arg=[texts, wanted]
        )

    for scheme, other in (("light", "dark"), ("dark", "light")):
        tab.emulate_media(color_scheme=scheme)
        assert_is(scheme)
        tab.click("#mode")
        assert_is(other)
        tab.click("#mode")
        assert_is(scheme)
        tab.evaluate("delete document.documentElement.dataset.mode")


@pytest.mark.parametrize("width", [1400, 380])
def test_a_table_takes_what_it_needs_of_the_page_and_no_more(browser, tmp_path, width):
    wide, narrow = ([{f"quantity {place}": "1.00±0.01" for place in range(n)}] for n in (13, 3))
    page = Page("Tables", [], {}, (), [Table("wide", wide), Table("narrow", narrow)])
    tab = browser.new_page(viewport={"width": width, "height": 800})
    tab.goto(write_page(tmp_path, page).as_uri())
    first, second = (tab.locator(".wide").nth(place).bounding_box() for place in (0, 1))
    text = tab.locator("h2").first.bounding_box()
    assert second["width"] == text["width"]
    middle = first["x"] + first["width"] / 2
    assert middle == pytest.approx(text["x"] + text["width"] / 2, abs=1)
    assert first["width"] > text["width"] if width == 1400 else first["width"] == text["width"]
    scrolls = "one => one.scrollWidth > one.clientWidth"
    assert tab.locator(".wide").first.evaluate(scrolls) == (width < 1000)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.close()


def test_nothing_is_wider_than_a_phone(opened):
    tab, _, _ = opened
    tab.set_viewport_size({"width": 380, "height": 800})
    tab.wait_for_timeout(300)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 380


def test_on_a_phone_a_picture_scrolls_and_its_text_is_no_smaller_and_not_in_squares(opened):
    tab, _, _ = opened
    tab.set_viewport_size({"width": 380, "height": 800})
    picture = tab.locator(".picture img")
    assert picture.bounding_box()["width"] == 640
    assert picture.evaluate("one => one.parentElement.scrollWidth > one.parentElement.clientWidth")
    hint = """() => getComputedStyle(document.querySelector(".picture figcaption"), "::before")
        .content.includes("sideways")"""
    assert tab.evaluate(hint)
    tab.set_viewport_size({"width": 1100, "height": 800})
    assert not tab.evaluate(hint)
    rendering = "one => getComputedStyle(one).imageRendering"
    assert picture.evaluate(rendering) == "auto"
    assert tab.locator("[data-picture] img").first.evaluate(rendering) == "pixelated"
