"""What is printed of the results of a sweep."""

import io

import xarray as xr
from rich.console import Console
from rich.table import Table

from jaxvae.report.page import Page
from jaxvae.report.results import write_report


def test_sentences_are_left_whole_and_tables_fit(tmp_path):
    sentence = "    " + "evidence " * 30 + "at the end"
    table = Table("numbers " * 20, "of " * 20)
    shown = io.StringIO()
    write_report(
        tmp_path,
        xr.Dataset(),
        figures=lambda folder: [],
        summary="",
        lines=["answer", "", sentence, table],
        console=Console(file=shown, width=60),
        page=Page("title", ["answer"], {}),
    )
    answer, blank, evidence, *rows, _, ends = shown.getvalue().splitlines()
    assert (answer, blank, evidence) == ("answer", "", sentence)
    assert len(rows) > 2
    assert max(map(len, rows)) <= 60
    assert ends.startswith("page: ")
