import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvae.geometry import conditional_ranks, nearest_neighbors
from tests import oracles
from tests.clouds import NASTY, TIED, WIDTHS, N, clusters, gaussian, of_width, rotation
from tests.geometry.targets import TARGETS
from tests.tiers import parametrize

# What float64 itself rounds in sums over the features, and two float32 for one float64.
TOLERANCE = 1e-12


def assert_ranks(cloud, targets):
    ranks = np.asarray(conditional_ranks(cloud, targets))
    low, high = oracles.rank_bounds(cloud, targets, TOLERANCE)
    assert np.all((low <= ranks) & (ranks <= high))
    return np.mean(low == high)


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("own", [False, True])
def test_ranks_count_the_closer_points_in_nasty_clouds(name, own):
    cloud = NASTY[name]
    assert_ranks(cloud, oracles.nearest(cloud, 3) if own else TARGETS)


@pytest.mark.parametrize("d", WIDTHS)
def test_ranks_are_right_for_every_width(d):
    # Nearly all are unambiguous, so that the bounds leave them no choice.
    assert assert_ranks(of_width(d), TARGETS) > 0.9


@pytest.mark.parametrize("d", [3, 784])
def test_ranks_inside_tight_clusters_far_apart_are_right(d):
    cloud = clusters(100, d=d)
    assert assert_ranks(cloud, oracles.nearest(cloud, 3)) > 0.9


def test_ranks_beside_a_row_so_far_that_squares_of_the_others_are_zero_in_float32_are_right():
    cloud = gaussian(d=3)
    cloud[7] = 1e32
    assert_ranks((1e-3 * cloud).astype(np.float32), TARGETS)


@pytest.mark.parametrize("name", TIED)
def test_exact_ties_count_half(name):
    expected, _ = oracles.rank_bounds(TIED[name], TARGETS)
    np.testing.assert_array_equal(conditional_ranks(TIED[name], TARGETS), expected)


def test_repeated_rows_share_the_mean_of_their_ranks():
    cloud = NASTY["many duplicates"]
    ranks = conditional_ranks(cloud, oracles.nearest(cloud, 3))
    # 49 copies of every row stand at ranks 1 to 49.
    np.testing.assert_array_equal(ranks, 25)


def test_the_ranks_of_the_neighbors_count_from_one():
    cloud = gaussian()
    ranks = conditional_ranks(cloud, nearest_neighbors(cloud, k=3).indices)
    np.testing.assert_array_equal(ranks, np.tile([1, 2, 3], (N, 1)))


def test_the_ranks_of_all_others_are_one_to_n_minus_1():
    cloud = gaussian(37, 20)
    ranks = conditional_ranks(cloud, oracles.nearest(cloud, 36))
    np.testing.assert_array_equal(ranks, np.tile(np.arange(1, 37), (37, 1)))


def test_in_a_constant_space_every_rank_is_half_of_n():
    np.testing.assert_array_equal(conditional_ranks(NASTY["constant"], TARGETS), N / 2)


def test_two_points_are_each_others_first():
    np.testing.assert_array_equal(conditional_ranks(gaussian(2, 3), np.array([[1], [0]])), 1)


@parametrize("block", [64, 5000, 1], quick=2)
def test_the_block_size_does_not_matter(block):
    cloud = NASTY["many duplicates"]
    expected = conditional_ranks(cloud, TARGETS)
    np.testing.assert_array_equal(conditional_ranks(cloud, TARGETS, block=block), expected)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.floats(-30, 30), st.floats(-1e3, 1e3))
def test_ranks_are_unchanged_by_scale_shift_and_rotation(seed, exponent, shift):
    cloud = gaussian(seed=seed).astype(np.float64)
    moved = conditional_ranks(10**exponent * (cloud @ rotation(seed=seed + 1) + shift), TARGETS)
    low, high = oracles.rank_bounds(cloud, TARGETS, TOLERANCE)
    assert np.all((low <= moved) & (moved <= high))


def test_the_jitted_vmap_equals_the_loop_over_ordinary_and_nasty_clouds():
    names = [
        "plain",
        "ten clusters",
        "grid",
        "grid 0.1",
        "constant",
        "one row at 1e6",
        "near duplicates",
    ]
    stacked = jnp.stack([jnp.asarray(NASTY[name]) for name in names])
    ranks = jax.jit(jax.vmap(lambda cloud: conditional_ranks(cloud, TARGETS)))(stacked)
    for got, name in zip(ranks, names, strict=True):
        expected = conditional_ranks(NASTY[name], TARGETS)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (np.zeros((3, 1), np.float32), r"integer indices \[n = 3, k >= 1\], got float32"),
        (np.zeros((3, 1), bool), r"integer indices \[n = 3, k >= 1\], got bool"),
        (np.zeros(3, int), r"integer indices \[n = 3, k >= 1\], got int64 \(3,\)"),
        (np.ones((4, 1), int), r"integer indices \[n = 3, k >= 1\], got int64 \(4, 1\)"),
        (np.zeros((3, 0), int), r"integer indices \[n = 3, k >= 1\], got int64 \(3, 0\)"),
        (np.array([[1], [2], [3]]), "indices from 0 to n - 1 = 2"),
        (np.array([[1], [-1], [0]]), "indices from 0 to n - 1 = 2"),
        (np.array([[1], [1], [0]]), "a point as its own neighbor"),
    ],
)
def test_indices_that_name_no_other_point_are_refused(indices, message):
    with pytest.raises(ValueError, match=message):
        conditional_ranks(gaussian(3, 2), indices)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN or infinity in row 0"):
        conditional_ranks(np.array([[np.nan], [1.0]]), np.array([[1], [0]]))
