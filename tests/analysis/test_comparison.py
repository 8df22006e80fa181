"""Cells that cannot be told from the best, on data of which the truth is known."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import ttest_rel

from jaxvae.analysis import compare_cells
from tests.tiers import parametrize


def grids(means, *, seeds, training, test, shared=3.0, examples=50, seed=0):
    """Grids without end: the noise of trainings and of examples has the given errors of means."""
    random, cells = np.random.default_rng(seed), len(means)
    while True:
        trained = training * random.standard_normal((cells, seeds, 1))
        seen = test * examples**0.5 * random.standard_normal((cells, 1, examples))
        # What seeds and what examples have in common is no difference of cells.
        alike = shared * random.standard_normal((1, seeds, 1))
        difficulty = 10 * random.standard_normal((1, 1, examples))
        yield np.reshape(means, (-1, 1, 1)) + trained + seen + alike + difficulty


def share(found, count=400):
    return np.mean([next(found) for _ in range(count)])


@parametrize(("seeds", "training"), [(2, 3.0), (3, 1.0), (5, 0.0)])
def test_equal_cells_are_all_candidates_but_in_five_percent_of_grids(seeds, training):
    drawn = grids(np.zeros(9), seeds=seeds, training=training, test=1.0)
    wrong = share(not compare_cells(values).candidates.all() for values in drawn)
    # Three standard errors of 400 grids above 5%.
    assert wrong < 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


@parametrize("seeds", [3, 2])
def test_equal_cells_are_all_candidates_where_a_few_vary_six_times_as_much(seeds):
    deviations = np.where(np.arange(49) < 7, 12.0, 2.0)[:, None, None]
    drawn = grids(np.zeros(49), seeds=seeds, training=deviations, test=1.0)
    wrong = share((not compare_cells(values).candidates.all() for values in drawn), 200)
    # Three standard errors of 200 grids above 5%.
    assert wrong < 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


# Seeds that move half of the cells, or all by a slope, and what is left to the cells themselves.
PATTERNS = {"half": np.arange(9) < 4, "slope": np.linspace(-1, 1, 9)}


@parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_equal_cells_are_all_candidates_also_where_seeds_change_some_cells_only(pattern, seeds):
    random = np.random.default_rng(0)
    drawn = grids(np.zeros(9), seeds=seeds, training=0.1, test=0.05)
    moved = (3.0 * PATTERNS[pattern])[:, None, None]
    wrong = share(
        not compare_cells(values + moved * random.standard_normal((seeds, 1))).candidates.all()
        for values in drawn
    )
    # Three standard errors of 400 grids above 5%.
    assert wrong < 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_two_seeds_decide_what_stands_out_by_far_and_five_much_less():
    means = np.where(np.arange(9) == 3, 1.0, 0.0)
    for seeds, gap, expected in [(2, 12, 0), (5, 12, 1), (2, 1000, 1)]:
        drawn = grids(gap * means, seeds=seeds, training=1.0, test=1.0)
        alone = share((compare_cells(next(drawn)).candidates.sum() == 1 for _ in range(50)), 50)
        assert alone == pytest.approx(expected, abs=0.1)


def test_the_best_cell_is_found_where_it_stands_out_and_never_lost():
    means = np.array([0.0, 0.0, 8.0, 0.0, 7.9])
    drawn = grids(means, seeds=4, training=1.0, test=0.5)
    found = [compare_cells(next(drawn)).candidates for _ in range(50)]
    assert all(candidates[2] for candidates in found)
    truth = [False, False, True, False, True]
    assert np.mean([candidates.tolist() == truth for candidates in found]) > 0.9


def test_one_seed_decides_nothing():
    found = compare_cells(next(grids(np.arange(4) * 100.0, seeds=1, training=0.0, test=0.1)))
    assert found.candidates.all()
    assert np.isnan(found.stderr).all()
    np.testing.assert_allclose(np.diff(found.mean), 100, atol=1)


def test_two_cells_without_noise_of_examples_are_told_apart_as_by_the_paired_t_test():
    random = np.random.default_rng(3)
    decided = []
    for gap in np.linspace(0, 3, 30):
        runs = random.standard_normal((2, 5)) + 10 * random.standard_normal(5)
        runs[1] += gap
        found = compare_cells(np.repeat(runs[:, :, None], 9, axis=2)).candidates
        decided.append(ttest_rel(*runs).pvalue < 0.05)
        assert found.all() == (not decided[-1])
    assert set(decided) == {True, False}


def test_differences_are_paired_by_example():
    random = np.random.default_rng(4)
    difficulty = 100 * random.standard_normal(1000)
    noise = 0.1 * random.standard_normal((2, 3, 1000))
    # As large as the error of a mean over examples, which both cells share.
    values = difficulty + noise + np.array([0.0, 3.0])[:, None, None]
    found = compare_cells(values)
    assert found.candidates.tolist() == [False, True]
    assert (found.stderr > 3).all()


def test_what_seeds_share_does_not_hide_a_difference():
    means = np.array([0.0, 1.0])
    found = compare_cells(next(grids(means, seeds=3, training=0.01, test=0.01, shared=100.0)))
    assert found.candidates.tolist() == [False, True]
    # That of a mean holds what the difference does not.
    assert (found.stderr > 10).all()


def test_a_cell_that_varies_more_than_others_is_judged_by_its_own_spread():
    runs = np.zeros((20, 4))
    runs[0] = [10.0, -10.0, 10.0, -10.0]
    runs[0] += 8.0
    values = np.repeat(runs[:, :, None], 100, axis=2)
    # With the variance of all cells, a twentieth of its own, it would be the only one.
    assert compare_cells(values).candidates.all()


def test_the_order_of_cells_seeds_and_examples_and_units_do_not_matter():
    random = np.random.default_rng(5)
    values = next(grids(random.normal(size=6) * 3, seeds=3, training=1.0, test=1.0))
    expected, order = compare_cells(values), random.permutation(6)
    moved = 1e3 + 7 * values[order][:, [2, 0, 1]][:, :, ::-1]
    found = compare_cells(moved)
    assert found.candidates.tolist() == expected.candidates[order].tolist()
    np.testing.assert_allclose(found.mean, 1e3 + 7 * expected.mean[order])
    np.testing.assert_allclose(found.stderr, 7 * expected.stderr[order])


def test_equal_values_are_not_told_apart_and_others_without_any_spread_are():
    assert compare_cells(np.ones((3, 2, 4))).candidates.all()
    values = np.ones((3, 2, 4)) * np.array([1.0, 2.0, 2.0])[:, None, None]
    assert compare_cells(values).candidates.tolist() == [False, True, True]


def test_values_of_jax_are_compared_as_those_of_numpy():
    values = next(grids([0.0, 0.5, 3.0], seeds=3, training=0.1, test=1.0)).astype(np.float32)
    for found, expected in zip(
        compare_cells(jnp.asarray(values)), compare_cells(values), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_one_cell_is_the_best():
    runs = np.random.default_rng(0).normal(size=(1, 4))
    found = compare_cells(np.repeat(runs[:, :, None], 3, axis=2))
    assert found.candidates.tolist() == [True]
    np.testing.assert_allclose(found.stderr, runs.std(axis=1, ddof=1) / 2)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.zeros((3, 2)), 0.05, r"expected values \[cells, seeds, examples\].*got shape \(3, 2\)"),
        (np.zeros((3, 2, 1)), 0.05, "at least 2 examples"),
        (np.full((3, 2, 4), np.nan), 0.05, "expected finite values"),
        (np.ma.masked_greater(np.ones((3, 2, 4)), 0), 0.05, "expected an array without a mask"),
        (np.zeros((3, 2, 4)), 1.0, "expected 0 < error < 1, got 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(values, error, message):
    with pytest.raises(ValueError, match=message):
        compare_cells(values, error=error)
