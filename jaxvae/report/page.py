"""A folder of results as one page that opens offline: its content is data, its look a template."""

import json
import math
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from jaxvae.files.whole import write_text_whole

PAGE = "report.html"
# What a hover shows of a number.
_DIGITS = 6
# Attributes that name variables of the records in sentences.
_PROSE = ("units", "estimators")
# Bytes that a picture takes at most; a larger one is made smaller.
_PICTURE_BYTES = 700_000


class Trace(NamedTuple):
    """Something drawn in a chart: a line, points or a heat map.

    Attributes:
        drawn: as plotly has it; arrays of NumPy are fine, and NaN is a gap.
        when: the choice, of every control that matters, at which it is shown.
    """

    drawn: Mapping[str, Any]
    when: Mapping[str, str] = {}


class Chart(NamedTuple):
    """An interactive figure.

    Attributes:
        title: title of the figure.
        reads: how it is read, in a sentence; also what a reader of the screen hears.
        traces: all that can be shown.
        x: title of the horizontal axis.
        y: title of the vertical axis, or the name of the choice that is its title.
        choices: what can be chosen, by name: `epoch` is a slider, others are lists. The last
            choice is shown first.
        layout: what else plotly is told. A logarithmic vertical axis without ticks gets some, and
            a range that is not given is the same at every place of a slider.
        pictures: PNG files by name, of which one is shown: that which is chosen in a list, or
            whose name is the `customdata` of a point that is clicked. These points have an
            outline, others have no pictures.
        pictures_read: how they are read.
    """

    title: str
    reads: str
    traces: Sequence[Trace]
    x: str = ""
    y: str = ""
    choices: Mapping[str, Sequence[str]] = {}
    layout: Mapping[str, Any] = {}
    pictures: Mapping[str, bytes] = {}
    pictures_read: str = ""


class Table(NamedTuple):
    """Rows of text by column, which the reader can sort.

    Attributes:
        title: title of the table.
        rows: rows of the table, all with the same columns.
        reads: what the numbers, their errors and their nulls are.
    """

    title: str
    rows: Sequence[Mapping[str, str]]
    reads: str = ""

    @property
    def words(self) -> set[str]:
        """The columns without a number: they are set from the left and broken into lines."""
        return {
            column
            for column in (self.rows[0] if self.rows else ())
            if not any(row[column].lstrip("+-")[:1].isdigit() for row in self.rows)
        }


class Picture(NamedTuple):
    """A picture below the charts.

    Attributes:
        title: what it shows.
        file: PNG.
        reads: how it is read.
    """

    title: str
    file: bytes
    reads: str


class Page(NamedTuple):
    """The contents of a page.

    Attributes:
        title: what was trained or measured.
        answer: sentences that say what was found, the first one first; those of `summary.md`.
        settings: what was run, by name.
        charts: interactive figures.
        tables: below them.
        pictures: between the charts and the tables.
    """

    title: str
    answer: Sequence[str]
    settings: Mapping[str, Any]
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()


def picture_of(path: Path, reads: str) -> Picture:
    """A PNG file as a picture of a page; a large one is made smaller, and says so.

    Args:
        path: the file, whose name becomes the title.
        reads: how it is read.
    """
    from PIL import Image  # noqa: PLC0415

    file, smaller = path.read_bytes(), ""
    with Image.open(path) as image:
        size = image.size
        while len(file) > _PICTURE_BYTES:
            size = (size[0] // 2, size[1] // 2)
            part = BytesIO()
            image.convert("RGB").resize(size, Image.Resampling.BOX).save(part, "PNG")
            file, smaller = part.getvalue(), f" Shown smaller here than in {path.name}."
    return Picture(path.stem.capitalize(), file, f"{reads}{smaller}")


def write_page(folder: Path, page: Page, figures: Sequence[Path] = ()) -> Path:
    """Write `report.html`, whole.

    Args:
        folder: where it goes; made where absent.
        page: what it shows.
        figures: files in the folder `figures` beside it, which are linked at its end by name.

    Raises:
        OSError: if the disk cannot be written.
    """
    text = page_text(page, sorted(path.name for path in figures))
    write_text_whole(folder / PAGE, text)
    return folder / PAGE


def page_text(page: Page, figures: Sequence[str] = ()) -> str:
    """The page as HTML. The same page gives the same text.

    Args:
        page: what it shows. Names and labels may hold any letter.
        figures: names of files in the folder `figures` beside it, which are linked.
    """
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["base64"] = lambda file: b64encode(file).decode("ascii")
    environment.filters["code"] = _with_code
    template = environment.from_string(_read("page.html"))
    return template.render(
        page=page,
        figures=figures,
        charts=_as_script([_as_dict(chart) for chart in page.charts]),
        plotly=_plotly() if page.charts else "",
        script=_read("page.js"),
        style=_read("page.css"),
    )


def settings_of(
    records: xr.Dataset | xr.DataTree, names: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """The settings that records were made with, in words.

    Args:
        records: records with settings as attributes.
        names: what attributes are called whose own names do not say what they are.
    """
    settings: dict[str, Any] = {}
    for name, value in records.attrs.items():
        if name in _PROSE:
            settings[str(name)] = value.replace("_", " ")
        else:
            is_json = isinstance(value, str) and value.startswith("{")
            settings |= json.loads(value) if is_json else {names.get(str(name), str(name)): value}
    return settings_in_words(settings)


def settings_in_words(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings by name, as a page shows them; those that are not set are left out.

    Args:
        settings: values as JSON has them, or as attributes of files are: also numbers and arrays
            of NumPy.
    """
    plain = {
        name: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        for name, value in settings.items()
    }
    return {
        name.replace("_", " "): _in_words(value)
        for name, value in plain.items()
        if value not in (None, "", {}, [], ())
    }


def hover(
    mean: np.ndarray, stderr: np.ndarray | None = None, null: np.ndarray | None = None
) -> list[str]:
    """The text that every number of a trace has on hover: itself, its error and its null."""
    parts = [mean, *(np.full_like(mean, np.nan) if one is None else one for one in (stderr, null))]
    return [
        f"{value:.4g}"
        + (f" ± {error:.2g}" if np.isfinite(error) else " (error unknown)")
        + (f"<br>null: {nothing:.4g}" if np.isfinite(nothing) else "")
        for value, error, nothing in zip(*(np.ravel(part) for part in parts), strict=True)
    ]


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {_in_words(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_in_words, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)


def _with_code(sentence: str) -> str:
    """A sentence as HTML, in which what stands between backticks is code."""
    from markupsafe import Markup, escape  # noqa: PLC0415

    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))


def _as_dict(chart: Chart) -> dict[str, Any]:
    traces = [{"drawn": trace.drawn, "when": trace.when} for trace in chart.traces]
    titles = {"xaxis": chart.x, "yaxis": chart.y}
    axes = {name: {"title": {"text": text, "standoff": 12}} for name, text in titles.items()}
    given = chart.layout
    layout = {**given, **{name: axes[name] | dict(given.get(name, {})) for name in axes}}
    return {"traces": traces, "layout": layout}


def _as_script(value: Any) -> str:
    """JSON that neither ends a script nor begins a comment."""
    text = json.dumps(_plain(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _plain(value: Any) -> Any:
    """Arrays as lists, numbers with sensible digits, None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value


def _read(name: str) -> str:
    return (files("jaxvae.report") / name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs  # noqa: PLC0415

    return get_plotlyjs()
