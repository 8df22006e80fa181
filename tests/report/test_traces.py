"""What charts are made of: ticks that can be read, and errors over seeds."""

import numpy as np
import pytest
import xarray as xr

from jaxvae.report.traces import (
    LINE_NUMBERS,
    evenly,
    heat_map,
    shown_epochs,
    stderr_over,
    whole_axis,
)


@pytest.mark.parametrize(
    ("last", "step"), [(1, 1), (2, 1), (10, 1), (11, 2), (200, 20), (999, 100)]
)
def test_epochs_have_at_most_ten_ticks_apart_all_at_whole_numbers(last, step):
    assert whole_axis([0, last]) == {"dtick": step}


def test_the_error_over_seeds_is_that_of_the_mean_and_unknown_for_one():
    values = xr.DataArray([[1.0, 3.0, 7.0], [2.0, 2.0, 7.0]], dims=("seed", "layer"))
    # What all seeds share is not exact.
    np.testing.assert_allclose(stderr_over(values, "seed"), [0.5, 0.5, np.nan])
    assert np.isnan(stderr_over(values.isel(seed=[0]), "seed")).all()


def test_the_error_over_seeds_counts_those_that_are_known():
    values = xr.DataArray([[1.0, 4.0], [3.0, np.nan], [np.nan, np.nan]], dims=("seed", "layer"))
    # Of two values 1 and 3, whose standard deviation is the root of 2, and of one alone.
    np.testing.assert_allclose(stderr_over(values, "seed"), [1.0, np.nan])


def test_colors_of_imbalances_are_logarithmic_and_those_of_similarities_even():
    values = np.array([[1e-5, 0.01], [0.1, 1.0]])
    even = heat_map(["a", "b"], ["c", "d"], values, values, name="CKA")
    np.testing.assert_array_equal(even["z"], values)
    assert (even["zmin"], even["zmax"]) == (0, 1)
    drawn = heat_map(["a", "b"], ["c", "d"], values, values, name="Δ", least=1e-3)
    # What is below the least is drawn as this.
    np.testing.assert_allclose(drawn["z"], [[-3, -2], [-1, 0]])
    assert (drawn["zmin"], drawn["zmax"]) == (-3, 0)
    bar = drawn["colorbar"]
    assert bar["ticktext"] == ["0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1"]
    np.testing.assert_allclose(10.0 ** bar["tickvals"], [float(text) for text in bar["ticktext"]])
    assert bar["title"]["text"] == "Δ"


def test_of_many_values_the_first_the_last_and_some_evenly_between_are_chosen():
    assert evenly([*range(101)], 5) == [0, 25, 50, 75, 100]
    assert evenly([3, 7], 5) == [3, 7]


def test_a_chart_shows_fewer_epochs_where_it_would_hold_too_many_numbers_and_says_so():
    assert shown_epochs([0, 1, 2], per_epoch=10, most=30) == ([0, 1, 2], "")
    assert shown_epochs([0, 1, 2, 3, 4], per_epoch=10, most=30) == (
        [0, 2, 4],
        " 3 of 5 epochs are shown, evenly chosen.",
    )
    assert shown_epochs([0, 5], per_epoch=2 * LINE_NUMBERS, most=LINE_NUMBERS)[0] == [5]
