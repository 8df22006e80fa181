"""Grids of betas: failed runs stand out, and the hull is what can be had."""

import numpy as np
import pytest
from scipy import stats

from jaxvae.analysis import excess_costs, rate_distortion_hull, suspect_cells

BETAS = np.array([(top, bottom) for top in (0.5, 1.0, 2.0) for bottom in (0.5, 1.0, 2.0)])
VARIANCES = np.array([9.0, 4.0])


# Numbers in a layer.
SIZE = 20


def optima(betas):
    """Two layers, each with D = exp(-2 R) variance / 2: R = ln(variance / beta) / 2."""
    rates = 0.5 * np.log(VARIANCES / betas)
    return SIZE * rates, SIZE * np.sum(VARIANCES * np.exp(-2 * rates), axis=1) / 2


def over_images(rates, distortions, *, noise=0.1, difficulty=30.0, n=200):
    """Means over images as given; every image as hard for all models, but for some noise."""
    random = np.random.default_rng(2)
    shared = difficulty * random.standard_normal((1, n, 1))
    own = noise * random.standard_normal((len(rates), n, 3))
    drawn = shared + own
    drawn -= drawn.mean(axis=1, keepdims=True)
    return rates[:, None] + drawn[..., 1:], distortions[:, None] + drawn[..., 0]


def test_optima_are_not_suspect():
    assert not suspect_cells(BETAS, *over_images(*optima(BETAS), noise=0.0)).any()


@pytest.mark.parametrize("failed", [0, 4, 7])
def test_a_run_that_stopped_early_is_the_one_suspect(failed):
    rates, distortions = optima(BETAS)
    rates[failed] = [1.0, 0.0]
    distortions[failed] = np.sum(SIZE * VARIANCES * np.exp(-2 * rates[failed] / SIZE)) / 2
    # The images differ far more from each other than the models do on the same image.
    found = suspect_cells(BETAS, *over_images(rates, distortions))
    assert found.tolist() == [place == failed for place in range(len(BETAS))]


def test_what_chance_may_have_done_is_not_suspect():
    rates, distortions = optima(BETAS)
    rates[4] += 8
    distortions[4] += 10
    assert suspect_cells(BETAS, *over_images(rates, distortions))[4]
    assert not suspect_cells(BETAS, *over_images(rates, distortions, noise=100.0)).any()


def test_models_that_differ_by_less_than_a_nat_are_not_suspect_however_sure_it_is():
    # Collapsed both, and exactly out of order.
    betas, distortions = np.array([[1.0], [2.0]]), np.full((2, 50), 160.0)
    for rate, suspect in ((1e-5, False), (0.4, False), (0.6, True)):
        nats = np.broadcast_to(np.array([0.0, rate])[:, None, None], (2, 50, 1))
        assert suspect_cells(betas, nats, distortions).tolist() == [False, suspect]


def test_of_grids_whose_optima_tie_few_have_a_suspect():
    random, wrong = np.random.default_rng(6), 0
    for _ in range(200):
        # All cost the same at all betas, and by far less than chance makes of it.
        nats = 40 * random.standard_normal((9, 100, 3))
        wrong += suspect_cells(BETAS, nats[..., 1:], nats[..., 0]).any()
    assert wrong <= 0.05 * 200 + 3 * (0.05 * 0.95 * 200) ** 0.5


def test_models_without_numbers_are_left_out():
    rates, distortions = optima(BETAS)
    rates[2], distortions[2] = np.nan, np.nan
    assert not suspect_cells(BETAS, *over_images(rates, distortions)).any()
    assert not suspect_cells(BETAS, *over_images(np.nan * rates, distortions)).any()


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((3, 2), (3, 5), (3, 5)), r"got \(3, 2\), \(3, 5\) and \(3, 5\)"),
        (((2, 2), (3, 5, 2), (3, 5)), r"expected betas \[m, l\]"),
        (((3,), (3, 5, 2), (3, 5)), r"expected betas \[m, l\]"),
        (((3, 2), (3, 1, 2), (3, 1)), "expected at least 2 images, got 1"),
    ],
)
@pytest.mark.parametrize("ask", [suspect_cells, excess_costs])
def test_costs_that_do_not_match_are_refused(ask, shapes, message):
    with pytest.raises(ValueError, match=message):
        ask(*map(np.zeros, shapes))


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


@pytest.mark.parametrize("shapes", [((3,), (2,)), ((3, 1), (3, 1)), ((), ())])
def test_a_hull_of_shapes_that_do_not_match_is_refused(shapes):
    with pytest.raises(ValueError, match=r"expected rates \[m\] with distortions \[m\]"):
        rate_distortion_hull(*map(np.zeros, shapes))


def test_an_excess_cost_is_what_the_cheapest_other_model_saves_less_what_images_leave_open():
    rates, distortions = optima(BETAS)
    np.testing.assert_array_equal(excess_costs(BETAS, *over_images(rates, distortions)), 0)
    distortions[4] += 5
    exact = excess_costs(BETAS, *over_images(rates, distortions, noise=0.0))
    others = np.delete(distortions + rates @ BETAS[4], 4)
    saved = distortions[4] + rates[4] @ BETAS[4] - others.min()
    np.testing.assert_allclose(exact, np.where(np.arange(9) == 4, saved, 0), atol=1e-9)
    nats = over_images(rates, distortions, noise=1.0)
    found, cheapest = excess_costs(BETAS, *nats), int(np.argmin(distortions + rates @ BETAS[4]))
    costs = [nats[1][model] + nats[0][model] @ BETAS[4] for model in (4, cheapest)]
    limits = stats.ttest_rel(*costs).confidence_interval(1 - 2 * 0.05 / (9 * 8))
    assert found[4] >= limits.low - 1e-9 > 0
    # Another model may cost nearly as little, and vary less.
    assert found[4] < saved


def test_optima_have_an_excess_cost_in_at_most_a_twentieth_of_grids():
    random, images = np.random.default_rng(0), 100
    rates, distortions = optima(BETAS)
    wrong = 0
    for _ in range(300):
        noise = 10 * random.standard_normal((9, images, 3))
        found = excess_costs(
            BETAS, rates[:, None] + noise[..., 1:], distortions[:, None] + noise[..., 0]
        )
        wrong += bool(found.any())
    assert wrong <= 300 * 0.05 + 3 * np.sqrt(300 * 0.05 * 0.95)


def test_a_model_without_rates_has_no_excess_cost_and_gives_no_other_any():
    rates, distortions = over_images(*optima(BETAS), noise=0.0)
    rates[0] = np.nan
    found = excess_costs(BETAS, rates, distortions)
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:], 0, atol=1e-9)
    assert np.isnan(excess_costs(BETAS, np.full_like(rates, np.nan), distortions)).all()
