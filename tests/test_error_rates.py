"""The page of simulated error rates, and what it is made of."""

import numpy as np

from benchmarks.error_rates.__main__ import PAGE, RESULTS, page, saved
from benchmarks.error_rates.cells import FAILING, Case, grid, rates
from jaxvae.report.tables import markdown_table


def test_the_page_is_that_of_the_saved_results():
    assert page(saved(RESULTS)) == PAGE.read_text(encoding="utf-8")


def test_a_cell_that_is_clearly_better_is_left_alone_unless_there_is_one_seed():
    found = {s: rates(Case("one cell better by 20", s, 1), grids=4) for s in (1, 5)}
    assert [(one["alone"], one["wrong"]) for one in found.values()] == [(0.0, 0.0), (1.0, 0.0)]


def test_few_noisy_cells_vary_six_times_as_much_as_the_others():
    values = grid(Case("no difference, few noisy cells", 200, 3), np.random.default_rng(0))
    runs = values.mean(axis=2)
    deviations = (runs - runs[7:].mean(axis=0)).std(axis=1)
    assert 15 < deviations[:7].mean() < 21
    assert 2.5 < deviations[7:].mean() < 3.5


def test_the_cell_that_fails_sometimes_is_as_good_as_the_others_in_the_mean():
    values = grid(Case(FAILING, 2000, 1), np.random.default_rng(0))
    runs = values.mean(axis=2)
    ahead = runs[0] - runs[1:].mean(axis=0)
    failed = ahead < ahead.mean()
    assert 0.17 < failed.mean() < 0.23
    assert 29.5 < ahead[~failed].mean() - ahead[failed].mean() < 30.5
    # Of images and failures together the error is 1.2.
    assert abs(ahead.mean()) < 4


def test_columns_of_text_are_aligned_to_the_left_where_that_is_said():
    rows = [{"name": "a", "share": "1"}, {"name": "b", "share": "2"}]
    expected = "| name | share |\n| --- | ---: |\n| a | 1 |\n| b | 2 |"
    assert markdown_table(rows, left=["name"]) == expected
