"""What is trained next is a function of what is known, and ends at the right size."""

import itertools

import numpy as np
import pytest

from jaxvae.analysis.advice import sufficient_bottleneck
from jaxvae.analysis.sizing import (
    LARGEST,
    MOST_DECIDING,
    MOST_SEEDS,
    SizeBounds,
    Training,
    bounds_of,
    first_training,
    largest_size,
    next_training,
)


def study(log_imbalance, *, dimension=8.0, noise=0.03, seed=0, fewest=0):
    """Bounds at the end, and all steps, of simulated trainings."""
    random, known, steps = np.random.default_rng(seed), {}, []
    offsets = random.normal(0, 0.1, MOST_DECIDING)

    def trained(size, each):
        key = size, each
        if key not in known:
            known[key] = np.exp(log_imbalance(size) + offsets[each] + noise * random.normal())
        return known[key]

    step = first_training(dimension, fewest=fewest)
    while step is not None:
        steps.append(step)
        sizes = np.array(step.sizes)
        found = np.array([[trained(size, each) for each in range(step.seeds)] for size in sizes])
        step = next_training(sizes, found, fewest=fewest)
    advice = sufficient_bottleneck(sizes, found)
    return bounds_of(sizes, advice).at_least(fewest), steps


@pytest.mark.parametrize("rank", [1, 3, 6, 12, 40])
def test_a_rank_below_which_much_is_lost_is_found_exactly(rank):
    bounds, _ = study(lambda size: -2.0 * (size >= rank) - np.log2(min(size, rank)))
    assert bounds == SizeBounds(rank - 1, rank)


def test_sizes_are_doubled_until_the_largest_adds_nothing():
    _, steps = study(lambda size: -np.log(min(size, 100)), dimension=4.0, noise=0.0)
    assert [step.sizes[-1] for step in steps][:6] == [8, 16, 32, 64, 128, 256]


def test_a_size_is_bisected_only_between_what_is_too_small_and_what_is_enough():
    _, steps = study(lambda size: -3.0 * (size >= 11), noise=0.01)
    added = [set(b.sizes) - set(a.sizes) for a, b in itertools.pairwise(steps)]
    assert [sizes for sizes in added if sizes] == [{32}, {12}, {10}, {11}]


@pytest.mark.parametrize(("rank", "fewest"), [(8, 8), (3, 6), (13, 6), (40, 6)])
def test_no_size_is_tried_below_the_latents_that_the_data_need(rank, fewest):
    bounds, steps = study(lambda size: -2.0 * (size >= rank), dimension=float(rank), fewest=fewest)
    assert min(steps[-1].sizes) >= fewest
    enough = max(rank, fewest)
    assert bounds == SizeBounds(enough - 1, enough)


def test_a_smaller_size_is_tried_before_seeds_where_the_smallest_may_be_enough():
    # Delta of dense VAEs of MNIST: ten latents are enough, and seven lose a third more than that.
    lost = [
        [0.0182, 0.0168, 0.0173, 0.0169, 0.0165],
        [0.0115, 0.0119, 0.0109, 0.0115, 0.0120],
        [0.0124, 0.0136, 0.0105, 0.0141, 0.0144],
    ]
    assert next_training([7, 10, 20], lost)[:2] == ((3, 7, 10, 20), 5)
    # None is below the latents that the data need.
    assert next_training([7, 10, 20], lost, fewest=6)[:2] == ((6, 7, 10, 20), 5)
    assert next_training([7, 10, 20], lost, fewest=7)[:2] == ((7, 10, 20), 8)
    assert next_training([3, 7, 10, 20], [[0.06, 0.07, 0.06, 0.07, 0.06], *lost])[1] > 5


def test_sizes_beside_one_that_seeds_would_hardly_decide_are_tried_instead_of_seeds():
    # Other VAEs of MNIST: seven latents lose 27% more than ten.
    lost = [
        [0.1136, 0.1094, 0.1080],
        [0.0217, 0.0186, 0.0195],
        [0.0156, 0.0143, 0.0135],
        [0.0156, 0.0170, 0.0143],
    ]
    assert next_training([3, 7, 10, 20], lost)[:2] == ((3, 5, 7, 10, 20), 3)
    # The wider gap first, as a ratio: from 2 to 8 and not from 8 to 15.
    assert next_training([2, 8, 15, 30], lost)[:2] == ((2, 5, 8, 15, 30), 3)
    assert next_training([6, 8, 15, 30], lost)[:2] == ((6, 8, 11, 15, 30), 3)
    # A size of which models failed is not tried again, but the other gap is.
    assert next_training([3, 7, 10, 20], lost, failed=[5])[:2] == ((3, 7, 8, 10, 20), 3)
    # With four seeds 30 would be needed, and with all of them nothing is added.
    assert next_training([3, 7, 10, 20], np.c_[lost, [0.1139, 0.0210, 0.0153, 0.0175]]).seeds == 4
    assert next_training([3, 7, 10, 20], np.repeat(lost, 3, axis=1)[:, :8]) is None
    # Where there is no gap seeds may still tell.
    assert next_training([6, 7, 8, 20], lost)[:2] == ((6, 7, 8, 20), 5)
    assert next_training([3, 7, 8, 20], lost, failed=[5])[:2] == ((3, 7, 8, 20), 5)


def test_more_than_eight_seeds_are_trained_where_a_few_more_are_expected_to_decide():
    # Delta of dense VAEs of linear images of rank 12: nine seeds would do, by what eight say.
    lost = np.array(
        [
            [0.02973, 0.03003, 0.03451, 0.02417, 0.02502, 0.02971, 0.02479, 0.03092],
            [0.01015, 0.00927, 0.01098, 0.0111, 0.01043, 0.01033, 0.01082, 0.00919],
            [0.01045, 0.00945, 0.01006, 0.0091, 0.00944, 0.01127, 0.01005, 0.00916],
        ]
    )
    assert next_training([11, 12, 24], lost)[:2] == ((11, 12, 24), 9)
    # Twice the spread would need many more.
    logs = np.log(lost)
    wide = logs.mean(axis=1, keepdims=True) + 2 * (logs - logs.mean(axis=1, keepdims=True))
    assert sufficient_bottleneck([11, 12, 24], np.exp(wide)).seeds > MOST_DECIDING
    assert next_training([11, 12, 24], np.exp(wide)) is None
    # And there are never more than twelve.
    twelve = np.tile(np.exp(wide), 2)[:, :MOST_DECIDING]
    assert sufficient_bottleneck([11, 12, 24], twelve).bottleneck is None
    assert next_training([11, 12, 24], twelve) is None


def test_no_size_is_tried_between_two_undecided_ones():
    # From 3 latents on all lose a quarter more than 100 do, so that seeds hardly tell.
    bounds, steps = study(lambda size: -2.0 * (size >= 3) - 0.29 * (size >= 100), dimension=100.0)
    assert bounds.insufficient < 100 <= bounds.sufficient
    assert len(steps[-1].sizes) < 15


def test_a_size_at_the_tolerance_is_left_with_the_one_that_is_enough():
    bounds, steps = study(lambda size: -2.0 * (size >= 7) - 0.288 * (size >= 8))
    assert bounds == SizeBounds(6, 8)
    assert steps[-1].seeds == MOST_SEEDS


def test_the_dimension_of_the_data_spares_the_models_below_it():
    _, every = study(lambda size: -2.0 * (size >= 8))
    _, fewer = study(lambda size: -2.0 * (size >= 8), fewest=8)
    assert (every[-1].sizes, fewer[-1].sizes) == ((7, 8, 16), (8, 16))
    assert every[-1].seeds == fewer[-1].seeds


def test_the_fewest_latents_exclude_smaller_sizes_from_the_bounds():
    sizes, found = np.array([4, 8, 16]), np.array([[0.1, 0.11], [0.1, 0.11], [0.1, 0.11]])
    advice = sufficient_bottleneck(sizes, found)
    bounds = bounds_of(sizes, advice)
    assert bounds == bounds.at_least(0) == SizeBounds(0, 4)
    assert bounds.at_least(3) == SizeBounds(2, 4)
    assert bounds.at_least(6) == SizeBounds(5, 6)
    assert SizeBounds(4, None).at_least(3) == SizeBounds(4, None)
    assert SizeBounds(4, None).at_least(9) == SizeBounds(8, None)


def test_where_no_size_is_enough_the_next_is_no_smaller_than_the_data_need():
    sizes, found = np.array([2, 4]), np.array([[0.4, 0.41], [0.1, 0.12]])
    assert next_training(sizes, found).sizes == (2, 4, 8)
    assert next_training(sizes, found, fewest=20).sizes == (2, 4, 20)


def test_lists_of_imbalances_are_taken():
    assert next_training([2, 4], [[0.4, 0.41], [0.1, 0.12]]).sizes == (2, 4, 8)


@pytest.mark.parametrize("fewest", [0, 300, 2000])
def test_no_size_is_larger_than_the_largest_that_is_said(fewest):
    _, steps = study(lambda size: -0.7 * np.log2(size), noise=0.0, fewest=fewest)
    assert steps[-1].sizes[-1] == largest_size(fewest) == max(LARGEST, 2 * fewest)
    assert next_training([2, 4], [[0.4, 0.41], [0.1, 0.12]], fewest=2000).sizes == (2, 4, 2000)


def test_no_larger_size_is_tried_where_the_largest_keeps_less_than_a_smaller_one():
    lost = np.repeat([[0.2], [0.1], [0.3]], 3, axis=1)
    assert next_training([2, 4, 8], lost) is None
    # Of seeds that differ so much it may keep as much: more of them tell.
    noisy = np.array([[0.1, 0.2, 0.4], [0.05, 0.1, 0.2], [0.2, 0.05, 0.1]])
    assert next_training([2, 4, 8], noisy).seeds > 3


def test_a_decline_without_end_names_no_size():
    bounds, steps = study(lambda size: -0.7 * np.log2(size), noise=0.05)
    assert bounds.sufficient is None
    assert steps[-1].sizes[-1] == LARGEST


def test_trainings_that_differ_much_leave_sizes_and_end_with_the_most_seeds():
    bounds, steps = study(lambda size: -np.log2(min(size, 8)), noise=0.5)
    assert not bounds.is_decided
    assert bounds.insufficient < 8 <= (bounds.sufficient or 8)
    assert steps[-1].seeds == 8


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_looking_after_every_step_names_too_small_a_size_in_at_most_five_of_a_hundred(noise):
    found = [
        study(lambda size: -np.log2(min(size, 16)), noise=noise, seed=seed)[0]
        for seed in range(100)
    ]
    assert sum(each.sufficient is not None and each.sufficient < 12 for each in found) <= 5


def test_sizes_begin_two_errors_below_and_above_the_dimension_or_at_usual_ones():
    assert first_training(12.3, 0.4).sizes == (11, 14, 28)
    assert first_training(6.0).sizes == (5, 6, 12)
    assert first_training(0.9, 0.1).sizes == (1, 2, 4)
    assert first_training(float("nan")).sizes == first_training(5.0, float("nan")).sizes
    assert first_training(float("nan"), fewest=10).sizes == (10, 20, 40)
    assert first_training(1e4).sizes == (255, 256, 512)
    assert first_training(3.0, 0.05, fewest=3).sizes == (3, 4, 8)
    assert first_training(5.05, 0.01, fewest=6).sizes == (6, 12)


def test_what_is_left_is_said_in_numbers():
    shown = [str(each) for each in (SizeBounds(11, 12), SizeBounds(8, 16), SizeBounds(8, None))]
    assert shown == ["12", "9 to 16", "9 or more"]


def test_one_seed_asks_for_another():
    step = next_training(np.array([2, 4]), np.array([[0.2], [0.1]]))
    assert step is not None
    assert step == Training((2, 4), 2, step.reason)
