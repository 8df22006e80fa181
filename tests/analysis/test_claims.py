"""A second peak of the ID and a second phase of training: what seeds show, and what stays open."""

import numpy as np
import pytest
from scipy.stats import chi2, norm
from scipy.stats import t as student

from benchmarks.error_rates.claims import NOISE, SEEDS, claim_cases, claim_rates
from jaxvae.analysis import Estimate, second_peak, two_phases
from jaxvae.analysis.evidence import somewhere_all
from tests.tiers import parametrize

INPUT, SAMPLE, OUTPUT = 12.0, 9.0, 8.0


def peak(decoder, *, spread=0.0, seeds=3, error=0.0):
    """Evidence of sizes whose decoders have these IDs, with that spread of every layer."""
    means = np.array(decoder, float)[:, None]
    turns = np.linspace(-1, 1, seeds) if seeds > 1 else np.zeros(1)
    values = means * np.exp(spread * turns[None, :, None])
    others = np.tile([INPUT, SAMPLE, OUTPUT], (*values.shape[:2], 1))
    return second_peak(
        Estimate(values, error * values), Estimate(others, error * others)
    )  # fmt: skip


def phases(imbalance, kl, *, seeds=3, spread=0.0, tolerance=0.05):
    """Evidence of one size with these courses, and noise that alternates over epochs."""
    turns = np.linspace(-1, 1, seeds)[:, None] * (-1.0) ** np.arange(len(imbalance))
    noise = np.exp(spread * turns)
    return two_phases(imbalance * noise[None], kl * noise[None], tolerance=tolerance)


# --- evidence -------------------------------------------------------------------------


def test_limits_are_those_of_students_t_with_the_variance_of_all_models():
    random = np.random.default_rng(0)
    drawn = random.normal(0, [[[[0.1]]], [[[0.1]]]], (2, 4, 1, 1))
    found = somewhere_all(drawn, known_error=0.03)
    variances = drawn[..., 0, 0].var(axis=1, ddof=1)
    for model in range(2):
        error = np.sqrt(max(variances.mean(), variances[model]) / 4 + 0.03**2)
        # An own variance has 3 degrees of freedom; the known error none of its uncertainty.
        freedom = 3 if variances[model] > variances.mean() else 6
        spread = error**2 - 0.03**2
        freedom *= (1 + 0.03**2 / (spread * freedom / chi2.ppf(0.1, freedom))) ** 2
        step = student.ppf(1 - 0.05 / 2, freedom) * error
        mean = drawn[model].mean()
        assert found.share[model] == pytest.approx(np.expm1(mean))
        assert found.lower[model] == pytest.approx(np.expm1(mean - step))
        assert found.upper[model] == pytest.approx(np.expm1(mean + step))


@pytest.mark.parametrize(
    ("noises", "seeds", "places", "error"),
    [([0.05], 3, 10, 0.01), ([0.2] + [0.02] * 5, 2, 10, 0.03), ([0.4] + [0.02] * 5, 3, 10, 0.03)],
)
def test_one_model_and_one_that_trains_less_reliably_are_told_wrong_as_rarely_as_stated(
    noises, seeds, places, error
):
    """No layer is above the input, whose own ID is known but for the images."""
    random, spread = np.random.default_rng(3), np.array(noises)[:, None, None]
    wrong = []
    for _ in range(1000):
        drawn = spread * random.normal(size=(len(noises), seeds, places))
        images = np.sqrt(2) * error * random.normal(size=(len(noises), 1, places))
        found = somewhere_all((drawn + images)[..., None], known_error=np.sqrt(2) * error)
        wrong.append(found.shown.any())
    assert np.mean(wrong) < 0.05 + 0.014


def test_the_choice_among_places_widens_the_lower_limit_and_kinds_the_upper_one():
    random = np.random.default_rng(1)
    drawn = random.normal(0, 0.1, (1, 5, 3, 2))
    found, means = somewhere_all(drawn), drawn.mean(axis=1)[0]
    errors = drawn[0].std(axis=0, ddof=1) / np.sqrt(5)
    low = means - student.ppf(1 - 0.05 / 3, 4) * errors
    high = means + student.ppf(1 - 0.05 / 2, 4) * errors
    assert not found.shown[0]
    assert found.place[0] == means.min(axis=1).argmax()
    assert found.lower[0] == pytest.approx(np.expm1(low.min(axis=1).max()))
    assert found.upper[0] == pytest.approx(np.expm1(high.min(axis=1).max()))


def test_where_a_claim_is_shown_place_share_and_limit_are_of_one_place():
    turns = np.array([-1.0, 0.0, 1.0])
    # The first place is higher in the means, the second for sure.
    drawn = np.stack([0.6 + 0.5 * turns, 0.5 + 0.01 * turns], axis=1)[None, :, :, None]
    found = somewhere_all(drawn)
    assert found.shown[0]
    assert found.place[0] == 1
    assert found.share[0] == pytest.approx(np.expm1(0.5))
    step = student.ppf(1 - 0.05 / 2, 2) * 0.01 / np.sqrt(3)
    assert found.lower[0] == pytest.approx(np.expm1(0.5 - step))


def test_all_differences_must_hold_at_one_place():
    # Each is positive somewhere, never both at once.
    one = np.tile(np.array([[0.5, -0.5], [-0.5, 0.5]]), (1, 3, 1, 1))
    found = somewhere_all(one)
    assert (found.shown[0], found.excluded[0]) == (False, True)
    one[..., 0, 1] = 0.5
    assert somewhere_all(one).shown[0]


# --- a second peak --------------------------------------------------------------------


def test_a_decoder_layer_above_input_sample_and_output_is_a_second_peak():
    found = peak([[6.0, 18.0, 10.0], [6.0, 9.0, 5.0]], spread=0.01)
    assert found.shown.tolist() == [True, False]
    assert found.excluded.tolist() == [False, True]
    assert found.place.tolist() == [1, 1]
    np.testing.assert_allclose(found.share, [18 / INPUT - 1, 9 / INPUT - 1])


@pytest.mark.parametrize("higher", [0, 1, 2])
def test_a_layer_below_one_of_the_others_is_no_peak(higher):
    values, others = np.full((1, 3, 1), 15.0), np.full((1, 3, 3), 10.0)
    others[..., higher] = 20.0
    found = second_peak(Estimate(values, 0 * values), Estimate(others, 0 * others))
    assert found.excluded[0]


def test_errors_of_the_images_are_not_averaged_away_by_seeds():
    few, many = (peak([[13.5, 13.5]], seeds=seeds, error=0.05) for seeds in (3, 30))
    assert not few.shown[0]
    assert not many.shown[0]
    assert peak([[13.5, 13.5]], seeds=3).shown[0]
    error = 1.2 * 0.05 * np.sqrt(2)
    # Known errors have no degrees of freedom to lack.
    expected = np.log(13.5 / INPUT) - norm.ppf(1 - 0.05 / 2) * error
    assert many.lower[0] == pytest.approx(np.expm1(expected))


def test_a_peak_that_seeds_disagree_on_is_not_decided():
    found = peak([[13.0]], spread=0.5)
    assert (found.shown[0], found.excluded[0]) == (False, False)


def test_a_layer_without_dimension_decides_nothing():
    found = peak([[np.nan, 5.0], [np.nan, 20.0]])
    assert found.shown.tolist() == [False, True]
    assert found.excluded.tolist() == [False, False]
    assert np.isnan(peak([[np.nan]]).share[0])


@pytest.mark.parametrize("value", [5.0, np.nan])
def test_a_layer_without_error_hides_no_peak_in_another(value):
    values, errors = np.full((1, 3, 2), value), np.full((1, 3, 2), np.nan)
    values[..., 1], errors[..., 1] = 20.0, 0.2
    others = np.full((1, 3, 3), 10.0)
    found = second_peak(Estimate(values, errors), Estimate(others, 0.01 * others))
    assert (found.shown[0], found.excluded[0], found.place[0]) == (True, False, 1)
    assert np.isfinite(found.lower[0])


def test_scale_does_not_matter():
    one = peak([[14.0, 6.0]], spread=0.1, error=0.02)
    values = np.array([14.0, 6.0]) * np.exp(0.1 * np.linspace(-1, 1, 3))[None, :, None]
    others = np.tile([INPUT, SAMPLE, OUTPUT], (1, 3, 1))
    doubled = second_peak(Estimate(2 * values, 0.04 * values), Estimate(2 * others, 0.04 * others))
    np.testing.assert_allclose(one, doubled)


# --- two phases -----------------------------------------------------------------------

FALL_AND_RISE = np.array([0.4, 0.1, 0.02, 0.05, 0.1])
RISE_AND_FALL = np.array([2.0, 20.0, 40.0, 35.0, 30.0])


def test_a_turn_of_both_is_a_second_phase():
    found = phases(FALL_AND_RISE, RISE_AND_FALL, spread=0.01)
    assert found.shown[0]
    assert found.place[0] == 2
    # The smallest of the four changes is that of KL from 40 to 30.
    assert found.share[0] == pytest.approx(40 / 30 - 1, rel=0.03)


@pytest.mark.parametrize(
    ("imbalance", "kl"),
    [
        (FALL_AND_RISE, np.array([2.0, 20.0, 30.0, 35.0, 40.0])),
        (np.array([0.4, 0.2, 0.1, 0.05, 0.02]), RISE_AND_FALL),
        (np.array([0.02, 0.05, 0.1, 0.2, 0.4]), RISE_AND_FALL),
        (FALL_AND_RISE, np.array([50.0, 45.0, 40.0, 35.0, 30.0])),
    ],
    ids=["KL goes on", "Delta goes on", "Delta only rises", "KL only falls"],
)
def test_without_one_of_the_four_changes_there_is_none(imbalance, kl):
    found = phases(imbalance, kl, spread=0.01)
    assert (found.shown[0], found.excluded[0]) == (False, True)


def test_a_change_below_the_tolerance_does_not_count():
    kl = np.array([2.0, 20.0, 40.0, 39.5, 39.0])
    assert phases(FALL_AND_RISE, kl).excluded[0]
    assert phases(FALL_AND_RISE, kl, tolerance=0.01).shown[0]


def test_a_posterior_that_is_the_prior_has_no_phase():
    assert phases(FALL_AND_RISE, np.array([0.0, 0.0, 1e-3, 0.0, -1e-9])).excluded[0]


def test_a_model_that_failed_decides_nothing():
    imbalance, kl = np.tile(FALL_AND_RISE, (2, 3, 1)), np.tile(RISE_AND_FALL, (2, 3, 1))
    imbalance[1, 0], kl[1, 0] = np.nan, np.nan
    found = two_phases(imbalance, kl)
    assert found.shown.tolist() == [True, False]
    assert found.excluded.tolist() == [False, False]


# --- one seed, error rates, refusals --------------------------------------------------


def test_one_seed_decides_nothing():
    for found in (peak([[18.0], [5.0]], seeds=1), phases(FALL_AND_RISE, RISE_AND_FALL, seeds=1)):
        assert not found.shown.any()
        assert not found.excluded.any()
        assert np.isinf(found.upper).all()


SWEEPS, MOST_WRONG = 200, 0.05
CASES = [case for case in claim_cases() if case[3] in NOISE[1::2]]


@parametrize(("claim", "truth", "seeds", "noise"), CASES, quick=2)
def test_something_wrong_is_said_of_few_sweeps(claim, truth, seeds, noise):
    # One size alone is told wrong in 4% of sweeps, which few sweeps do not tell from 5%.
    sweeps = 5 * SWEEPS if claim == "second peak, one size" else SWEEPS
    found = claim_rates(claim, truth, seeds=seeds, noise=noise, sweeps=sweeps)
    assert found["wrong"] <= MOST_WRONG


@pytest.mark.parametrize(
    ("claim", "truth"),
    [("second peak", "a peak from 16 on"), ("second phase", "a phase from 16 on")],
)
def test_what_is_clear_is_said(claim, truth):
    found = claim_rates(claim, truth, seeds=SEEDS[-1], noise=NOISE[0], sweeps=50)
    assert found["right"] >= 0.85


def test_lists_are_taken_as_arrays_are():
    dimensions, others = np.full((1, 2, 1), 18.0), np.full((1, 2, 2), 9.0)
    estimates = [Estimate(each, each / 50) for each in (dimensions, others)]
    lists = [Estimate(*(each.tolist() for each in estimate)) for estimate in estimates]
    np.testing.assert_equal(second_peak(*lists), second_peak(*estimates))
    courses = [np.tile(each, (1, 2, 1)) for each in (FALL_AND_RISE, RISE_AND_FALL)]
    np.testing.assert_equal(two_phases(*(each.tolist() for each in courses)), two_phases(*courses))


def test_dimensions_that_do_not_match_are_refused():
    good, other = np.ones((2, 3, 4)), np.ones((2, 2, 3))
    for decoder, against in ((good, other), (good[0], other[0]), (good[..., :0], good)):
        with pytest.raises(ValueError, match="expected dimensions and errors"):
            second_peak(Estimate(decoder, decoder), Estimate(against, against))
    for values, errors in ((0 * good, good), (np.inf * good, good), (good, np.inf * good)):
        with pytest.raises(ValueError, match="expected positive and finite dimensions with finite"):
            second_peak(Estimate(values, errors), Estimate(good, good))


def test_courses_that_do_not_match_are_refused():
    good = np.ones((2, 3, 4))
    for imbalance, kl in ((good, good[:1]), (good[..., :2], good[..., :2]), (good[0], good[0])):
        with pytest.raises(ValueError, match="expected imbalances and KL"):
            two_phases(imbalance, kl)
    with pytest.raises(ValueError, match="expected positive imbalances"):
        two_phases(0 * good, good)
    for imbalance, kl in ((np.inf * good, good), (good, np.inf * good)):
        with pytest.raises(ValueError, match="expected finite imbalances and KL"):
            two_phases(imbalance, kl)
    with pytest.raises(ValueError, match="a positive tolerance"):
        two_phases(good, good, tolerance=0.0)
