"""Grids of prices: failed runs stand out, and the hull is what can be had."""

import numpy as np
import pytest

from jaxvae.analysis import excess_costs, rate_distortion_hull, suspect_cells

PRICES = np.array([(top, bottom) for top in (0.5, 1.0, 2.0) for bottom in (0.5, 1.0, 2.0)])
VARIANCES = np.array([9.0, 4.0])


def optima(prices):
    """Two layers, each with D = exp(-2 R) variance / 2: R = ln(variance / beta) / 2."""
    rates = 0.5 * np.log(VARIANCES / prices)
    return rates, np.sum(VARIANCES * np.exp(-2 * rates), axis=1) / 2


def test_optima_are_not_suspect():
    rates, distortions = optima(PRICES)
    assert not suspect_cells(PRICES, rates, np.zeros_like(rates), distortions).any()


@pytest.mark.parametrize("failed", [0, 4, 7])
def test_a_run_that_stopped_early_is_the_one_suspect(failed):
    rates, distortions = optima(PRICES)
    rates[failed] = [0.05, 0.0]
    distortions[failed] = np.sum(VARIANCES * np.exp(-2 * rates[failed])) / 2
    found = suspect_cells(PRICES, rates, np.full_like(rates, 1e-3), distortions)
    assert found.tolist() == [place == failed for place in range(len(PRICES))]


def test_what_chance_may_have_done_is_not_suspect():
    rates, distortions = optima(PRICES)
    rates[4] += 0.4
    distortions[4] += 0.5
    assert suspect_cells(PRICES, rates, np.full_like(rates, 1e-3), distortions)[4]
    assert not suspect_cells(PRICES, rates, np.full_like(rates, 0.5), distortions).any()


def test_models_without_numbers_are_left_out():
    rates, distortions = optima(PRICES)
    rates[2], distortions[2] = np.nan, np.nan
    assert not suspect_cells(PRICES, rates, np.zeros_like(rates), distortions).any()


def test_the_hull_is_below_every_model_and_no_other_is_needed():
    random = np.random.default_rng(0)
    rates = random.uniform(0, 10, 200)
    distortions = np.exp(-rates) + random.exponential(0.5, 200)
    hull = rate_distortion_hull(rates, distortions)
    assert np.all(np.diff(rates[hull]) > 0)
    assert np.all(np.diff(distortions[hull]) < 0)
    slopes = np.diff(distortions[hull]) / np.diff(rates[hull])
    assert np.all(np.diff(slopes) > 0)
    below = np.interp(rates, rates[hull], distortions[hull])
    within = rates >= rates[hull[0]]
    assert np.all(distortions[within] >= below[within] - 1e-12)


def test_a_hull_of_models_on_a_line_has_its_ends():
    line = np.array([0.0, 1.0, 2.0, 3.0])
    assert rate_distortion_hull(line, 3 - line).tolist() == [0, 3]
    assert rate_distortion_hull(np.array([1.0, np.nan]), np.array([2.0, 0.0])).tolist() == [0]


def test_an_excess_cost_is_what_the_cheapest_other_model_saves():
    rates, distortions = optima(PRICES)
    np.testing.assert_allclose(excess_costs(PRICES, rates, distortions), 0, atol=1e-12)
    distortions[4] += 1.5
    found = excess_costs(PRICES, rates, distortions)
    others = np.delete(distortions + rates @ PRICES[4], 4)
    assert found[4] == pytest.approx(distortions[4] + rates[4] @ PRICES[4] - others.min())
    np.testing.assert_allclose(np.delete(found, 4), 0, atol=1e-12)
    rates[0] = np.nan
    assert np.isnan(excess_costs(PRICES, rates, distortions)[0])
