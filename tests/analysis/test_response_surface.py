"""The region of the best split: around a known optimum, at an edge, and where nothing is known."""

import numpy as np
import pytest
from scipy.special import stdtr

from jaxvae.analysis.response_surface import best_region
from tests.tiers import parametrize

SIDE = np.log1p([2.0, 8.0, 32.0, 64.0, 100.0])
LOGS = np.stack(np.meshgrid(SIDE, SIDE, indexing="ij"), axis=-1).reshape(-1, 2)


def plane(optimum, *, noise, seed=0, seeds=3, curvature=1.0, offset=1.0):
    """Rates and scores of a quadratic with a known optimum, and the true score of every cell."""
    random = np.random.default_rng(seed)
    truth = -curvature * np.sum((LOGS - optimum) ** 2, axis=1)
    scores = truth[:, None] + offset * random.standard_normal(seeds)
    scores = scores + noise * random.standard_normal(scores.shape)
    rates = np.repeat(np.expm1(LOGS)[:, None], seeds, axis=1)
    return rates, scores, truth


def test_without_noise_the_best_cell_alone_is_left():
    rates, scores, truth = plane([3.4, 2.2], noise=1e-6)
    found = best_region(rates, scores)
    assert np.flatnonzero(found.candidates).tolist() == [truth.argmax()] == [found.best]
    np.testing.assert_allclose(found.fitted - found.fitted.mean(), truth - truth.mean(), atol=1e-5)


def test_what_a_seed_adds_to_all_cells_changes_nothing():
    small, large = (plane([3.4, 2.2], noise=0.2, offset=offset) for offset in (0.0, 100.0))
    left, right = best_region(*small[:2]), best_region(*large[:2])
    np.testing.assert_array_equal(left.candidates, right.candidates)


@parametrize("optimum", [[3.4, 2.2], [9.0, 9.0], [4.6, 0.0]])
def test_the_best_cell_is_left_out_in_at_most_five_of_a_hundred_planes(optimum):
    missed = 0
    for seed in range(300):
        rates, scores, truth = plane(optimum, noise=0.5, seed=seed)
        missed += not best_region(rates, scores).candidates[truth.argmax()]
    assert missed <= 15


@parametrize("seeds", [3, 2, 5])
def test_equal_cells_are_all_candidates_also_where_a_seed_tilts_the_plane(seeds):
    random, wrong = np.random.default_rng(0), 0
    tilt = LOGS @ [1.0, 0.5]
    for _ in range(400):
        scores = np.outer(tilt, random.standard_normal(seeds))
        scores += random.standard_normal(scores.shape)
        rates = np.repeat(np.expm1(LOGS)[:, None], seeds, axis=1)
        wrong += best_region(rates, scores).is_decided
    # Three standard errors of 400 planes above 5%.
    assert wrong < 400 * (0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5)


def test_a_seed_that_tilts_the_plane_widens_the_region_of_all_others():
    rates, scores, truth = plane([3.4, 2.2], noise=0.3, seeds=5, seed=1)
    tilted = scores + np.outer(LOGS[:, 0], [1.0, -1.0, 0.5, -0.5, 0.0])
    still, moved = best_region(rates, scores), best_region(rates, tilted)
    assert still.is_quadratic
    assert moved.is_quadratic
    assert still.candidates.sum() < moved.candidates.sum()
    assert moved.candidates[truth.argmax()]
    np.testing.assert_allclose(moved.fitted, still.fitted, atol=1e-10)


def test_one_pattern_of_seeds_has_the_limit_of_a_t_test_along_it():
    # Along the middle of a symmetric plane, cells at both ends differ by the pattern alone.
    x, y = np.meshgrid(np.arange(5.0), np.arange(5.0), indexing="ij")
    rates = np.repeat(np.expm1(np.stack([x.ravel(), y.ravel()], axis=1))[:, None], 4, axis=1)
    tilts = np.array([3.0, 4.0, 5.0, 6.0])
    p = 2 * stdtr(3, -tilts.mean() / (tilts.std(ddof=1) / 2))
    for error, is_decided in [(1.001 * p, True), (0.999 * p, False)]:
        found = best_region(rates, np.outer(x.ravel(), tilts), error=error)
        assert found.is_decided == is_decided


def test_scores_that_are_noise_alone_decide_nothing():
    found = best_region(*plane([3.4, 2.2], noise=1.0, curvature=0.0)[:2])
    assert not found.is_decided


def test_scores_that_no_quadratic_describes_decide_nothing():
    rates, scores, _ = plane([3.4, 2.2], noise=0.01)
    waves = np.sin(9 * LOGS[:, 0])[:, None]
    assert best_region(rates, scores).is_decided
    assert not best_region(rates, scores + waves).is_quadratic


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda rates, scores: (rates[:, :1], scores[:, :1]), "2 cells and 2 seeds"),
        (lambda rates, scores: (rates[:8], scores[:8]), "at least 9 cells"),
        (lambda rates, scores: (rates * [1, 0], scores), "differ in both layers"),
        (lambda rates, scores: (rates, scores * np.nan), "finite scores"),
    ],
)
def test_what_no_surface_can_be_fitted_to_is_refused(change, expected):
    rates, scores, _ = plane([3.4, 2.2], noise=0.1)
    with pytest.raises(ValueError, match=expected):
        best_region(*change(rates, scores))


@pytest.mark.parametrize("error", [0, 1, -1, 2, np.nan])
def test_an_error_that_is_no_share_is_refused(error):
    rates, scores, _ = plane([3.4, 2.2], noise=0.1)
    with pytest.raises(ValueError, match="expected 0 < error < 1, got"):
        best_region(rates, scores, error=error)


@pytest.mark.parametrize("score", [0.0, 0.1, 1 / 3, 0.7])
@pytest.mark.parametrize("offset", [0.0, 0.1])
def test_equal_cells_are_a_quadratic_of_which_none_is_best(score, offset):
    rates, added, _ = plane([3.4, 2.2], noise=0.0, curvature=0.0, offset=offset)
    found = best_region(rates, score + added)
    assert found.is_quadratic
    assert found.candidates.all()


def test_a_quadratic_without_any_noise_is_one_and_decides():
    rates, scores, truth = plane([3.4, 2.2], noise=0.0)
    found = best_region(rates, scores)
    assert found.is_decided
    assert np.flatnonzero(found.candidates).tolist() == [truth.argmax()]
