"""From which bottleneck on larger ones do not help, on sweeps made by hand."""

import numpy as np
import pytest

from jaxvae.analysis import sufficient_bottleneck

SIZES = np.array([2, 4, 8, 16, 32, 64])
# Delta(output -> input) of a run on MNIST with one seed.
MNIST = np.array([0.237, 0.067, 0.017, 0.007, 0.006, 0.007])


def seeds(means, spread):
    """Two seeds around every mean."""
    return np.asarray(means)[:, None] + spread * np.array([-1.0, 1.0])


def test_mnist_needs_as_many_latents_as_it_has_dimensions():
    # 8 latents lose two thirds of their Delta to 32, 16 latents one seventh.
    assert sufficient_bottleneck(SIZES, MNIST[:, None]).bottleneck == 16


def test_the_gain_is_that_of_the_best_larger_bottleneck():
    advice = sufficient_bottleneck(SIZES, MNIST[:, None])
    assert advice.gain == pytest.approx(1 / 7)


def test_a_small_bottleneck_is_enough_where_none_helps():
    assert sufficient_bottleneck(SIZES, np.full((6, 3), 0.3)).bottleneck == 2


def test_a_larger_bottleneck_that_does_worse_is_no_improvement():
    rising = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
    advice = sufficient_bottleneck(SIZES, rising[:, None])
    assert advice.bottleneck == 2
    assert advice.gain == pytest.approx(-1.0)


def test_a_bottleneck_between_two_better_ones_is_not_enough():
    # A dip at 8 alone: 4 is worse than 8 although it equals 16.
    means = np.array([0.3, 0.1, 0.02, 0.1, 0.1, 0.1])
    assert sufficient_bottleneck(SIZES, means[:, None]).bottleneck == 8


def test_the_largest_bottleneck_that_still_improves_may_be_the_limit():
    falling = np.array([0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    advice = sufficient_bottleneck(SIZES, falling[:, None])
    assert advice.bottleneck is None
    assert advice.gain == pytest.approx(0.5)


def test_an_improvement_below_the_tolerance_does_not_count():
    means = np.array([0.3, 0.1, 0.08, 0.08, 0.08, 0.08])
    assert sufficient_bottleneck(SIZES, means[:, None]).bottleneck == 4
    assert sufficient_bottleneck(SIZES, means[:, None], tolerance=0.1).bottleneck == 8


def test_an_improvement_within_the_noise_of_the_seeds_does_not_count():
    means = np.array([0.3, 0.1, 0.06, 0.06, 0.06, 0.06])
    assert sufficient_bottleneck(SIZES, seeds(means, 0.001)).bottleneck == 8
    # Seeds 0.04 apart on both sides: the difference of 0.04 has a standard error of 0.028.
    assert sufficient_bottleneck(SIZES, seeds(means, 0.02)).bottleneck == 4


def test_the_error_is_that_of_a_difference_of_means_over_seeds():
    means = np.array([0.2, 0.2])
    advice = sufficient_bottleneck(np.array([2, 4]), seeds(means, 0.01))
    # Each variance is 2 * 0.01^2 (dividing by n - 1), of which two are added and halved.
    assert advice.error == pytest.approx(np.sqrt(2 * 2 * 0.01**2 / 2) / 0.2)


def test_one_seed_gives_an_answer_without_an_error():
    advice = sufficient_bottleneck(SIZES, MNIST[:, None])
    assert advice.bottleneck is not None
    assert np.isnan(advice.error)


def test_one_size_alone_answers_nothing():
    advice = sufficient_bottleneck(np.array([8]), np.array([[0.1, 0.2]]))
    assert advice.bottleneck is None
    assert np.isnan(advice.gain)


@pytest.mark.parametrize(
    ("sizes", "imbalance"),
    [
        ([4, 2], np.ones((2, 1))),
        ([2, 2], np.ones((2, 1))),
        ([2, 4], np.ones((3, 1))),
        ([2, 4], np.ones(2)),
        ([2, 4], np.array([[0.1], [np.nan]])),
        ([2, 4], np.array([[0.1], [0.0]])),
    ],
    ids=["falling", "equal", "lengths", "no seeds", "nan", "zero"],
)
def test_a_sweep_without_order_shape_or_value_is_refused(sizes, imbalance):
    with pytest.raises(ValueError, match="expected ascending sizes"):
        sufficient_bottleneck(np.array(sizes), imbalance)
