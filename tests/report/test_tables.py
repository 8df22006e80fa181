"""Rows of text as tables."""

import numpy as np
from rich.console import Console

from jaxvae.report.tables import markdown_table, mean_over_seeds, printed_table

ROWS = [{"space": "a|b", "ID mean\nof all": "1.0"}, {"space": "c", "ID mean\nof all": "2.0"}]


def test_what_markdown_would_take_for_another_cell_or_row_is_escaped():
    assert markdown_table(ROWS, left=["space"]).splitlines() == [
        "| space | ID mean of all |",
        "| --- | ---: |",
        r"| a\|b | 1.0 |",
        "| c | 2.0 |",
    ]


def test_there_is_no_table_of_no_rows():
    assert markdown_table([]) == ""
    assert not printed_table([]).columns


def test_the_first_word_of_a_column_stands_above_the_others():
    console = Console(width=40)
    rows = [{"highest for": "x", "best loss": "1"}]
    with console.capture() as captured:
        console.print(printed_table(rows, left=["highest for"], title="all", split=True))
    lines = [line.rstrip() for line in captured.get().splitlines()]
    assert lines[:1] + lines[2:4] == ["all", "              best", " highest for  loss"]


def test_the_mean_over_seeds_has_its_error_where_they_differ_and_leaves_failed_ones_out():
    assert mean_over_seeds(np.array([0.3, 0.5]), 4) == "0.4000±0.1000"
    assert mean_over_seeds(np.array([0.3, np.nan, 0.5]), 1) == "0.4±0.1"
    # Whose standard deviation is not zero, by rounding.
    assert mean_over_seeds(np.full(3, 0.1), 2) == "0.10"
    assert mean_over_seeds(np.array([2.0]), 0) == "2"
    assert mean_over_seeds(np.full(2, np.nan), 1) == "·"
