"""A bound is called broken where it is, and rarely where it holds."""

import numpy as np
import pytest

from jaxvae.analysis import Estimate, above_bound
from jaxvae.metrics import accuracy_bound, information_for_accuracy

SHARES = np.full(10, 0.1)


def exact(nats):
    return Estimate(np.asarray(nats), np.zeros_like(nats))


def test_bounds_that_hold_with_equality_are_broken_in_five_percent_of_grids():
    random, n, error = np.random.default_rng(0), 200, 0.05
    accuracy = random.uniform(0.12, 0.9, 60)
    known = np.asarray(information_for_accuracy(accuracy, SHARES), np.float64)
    wrong = 0
    for _ in range(200):
        seen = Estimate(known + error * random.standard_normal(60), np.full(60, error))
        wrong += above_bound(random.binomial(n, accuracy) * 1.0, seen, SHARES, n=n).any()
    assert wrong <= 0.05 * 200 + 3 * (0.05 * 0.95 * 200) ** 0.5


def test_an_accuracy_far_above_its_bound_is_found_if_the_information_is_known():
    hits, nats = np.array([900.0, 300.0, 900.0]), np.array([0.5, 0.5, 0.5])
    assert accuracy_bound(0.5, SHARES) < 0.5
    assert above_bound(hits, exact(nats), SHARES, n=1000).tolist() == [True, False, True]
    unsure = Estimate(nats, np.array([0.0, 0.0, 1.0]))
    assert above_bound(hits, unsure, SHARES, n=1000).tolist() == [True, False, False]


def test_the_more_is_tested_the_more_it_takes():
    # 2.3 standard errors above a bound of one half.
    nats = information_for_accuracy(0.5, SHARES)
    hits = np.array([536.0])
    assert above_bound(hits, exact(np.array([nats])), SHARES, n=1000).all()
    many = np.concatenate([hits, np.full(99, 100.0)])
    assert not above_bound(many, exact(np.full(100, nats)), SHARES, n=1000).any()
    # What was not tested does not count.
    alone = np.concatenate([hits, np.full(99, np.nan)])
    assert above_bound(alone, exact(np.full(100, nats)), SHARES, n=1000).sum() == 1


def test_lists_and_whole_numbers_are_taken():
    assert above_bound([900, 300], Estimate([0.5, 0.5], [0.0, 0.0]), SHARES, n=1000).tolist() == [
        True,
        False,
    ]
    assert above_bound(900, Estimate(0.5, 0.0), SHARES, n=1000)


def test_where_nothing_is_known_nothing_is_broken():
    hits = np.array([100.0, 0.0])
    assert not above_bound(hits, exact(np.full(2, np.nan)), SHARES, n=100).any()
    assert above_bound(hits, exact(np.zeros(2)), SHARES, n=100).tolist() == [True, False]


@pytest.mark.parametrize("hits", [101.0, -1.0])
def test_hits_that_cannot_be_are_refused(hits):
    with pytest.raises(ValueError, match="expected 0 <= hits <= n, got hits from"):
        above_bound(np.array([hits]), exact(np.zeros(1)), SHARES, n=100)


@pytest.mark.parametrize("error", [0, 1, -1, 2, np.nan])
def test_an_error_that_is_no_share_is_refused(error):
    with pytest.raises(ValueError, match="expected 0 < error < 1, got"):
        above_bound(np.ones(1), exact(np.zeros(1)), SHARES, n=10, error=error)


@pytest.mark.parametrize("n", [1, 100.5, True, np.nan])
def test_a_number_of_examples_that_cannot_be_is_refused(n):
    with pytest.raises(ValueError, match="expected a whole number n of at least 2 test examples"):
        above_bound(np.ones(1), exact(np.zeros(1)), SHARES, n=n)
