import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvae.geometry.selection import filled_length
from jaxvae.metrics import imbalance_matrix, information_imbalance
from tests import oracles, reference
from tests.clouds import NASTY, TIED, TIED_NEIGHBORS, N, clusters, gaussian
from tests.memory import largest_array
from tests.tiers import parametrize

OTHER = gaussian(seed=9)
# One rank that float32 cannot tell, moved by one place, changes Delta by 2 / n**2;
# the mean of n ranks in float32 is right to 1e-6.
ONE_RANK = 2 / N**2
# Where distances differ by less than float32 can tell, far more than a few ranks move.
ROUNDED = {
    "grid 0.1",
    "hidden steps",
    "clusters 10 apart",
    "clusters 100 apart",
    "ten clusters",
    "float16",
}
CLEAR = [name for name in NASTY if name not in ROUNDED]


@pytest.mark.parametrize("name", CLEAR)
def test_imbalance_is_twice_the_mean_rank_over_n(name):
    cloud = NASTY[name]
    found = information_imbalance(cloud, OTHER)
    forward = oracles.information_imbalance(cloud, OTHER)
    backward = oracles.information_imbalance(OTHER, cloud)
    np.testing.assert_allclose(found.forward, forward, atol=5 * ONE_RANK + 1e-6)
    np.testing.assert_allclose(found.backward, backward, atol=5 * ONE_RANK + 1e-6)


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("name", TIED)
def test_ties_take_the_mean_rank_exactly(name, k):
    found = information_imbalance(TIED[name], OTHER, k=k)
    forward = oracles.information_imbalance(TIED[name], OTHER, k)
    backward = oracles.information_imbalance(OTHER, TIED[name], k)
    np.testing.assert_allclose(found, (forward, backward), rtol=1e-6)


def test_several_neighbors_are_averaged():
    a, b = NASTY["plain"], np.tanh(NASTY["plain"][:, :3])
    found = information_imbalance(a, b, k=5)
    np.testing.assert_allclose(found.forward, oracles.information_imbalance(a, b, 5), rtol=1e-6)
    np.testing.assert_allclose(found.backward, oracles.information_imbalance(b, a, 5), rtol=1e-6)


@pytest.mark.parametrize("k", [1, 5])
def test_identical_spaces_give_k_plus_1_over_n(k):
    cloud = gaussian()
    found = information_imbalance(cloud, cloud, k=k)
    np.testing.assert_allclose(found, (k + 1) / N, rtol=1e-6)


def test_against_a_constant_space_delta_is_one():
    found = information_imbalance(gaussian(), NASTY["constant"])
    np.testing.assert_allclose(found.forward, 1, rtol=1e-6)


# Within most groups of neighbors that tie, and beyond them.
@parametrize(
    ("name", "k"),
    [
        *itertools.product(TIED_NEIGHBORS, (1,)),
        *itertools.product(TIED_NEIGHBORS, (5, 60)),
        ("half dead", 200),
    ],
    quick=len(TIED_NEIGHBORS),
)
def test_neighbors_that_tie_are_averaged(name, k):
    found = information_imbalance(TIED_NEIGHBORS[name], OTHER, k=k)
    expected = oracles.information_imbalance(TIED_NEIGHBORS[name], OTHER, k)
    np.testing.assert_allclose(found.forward, expected, atol=5 * ONE_RANK, rtol=1e-6)


@parametrize("name", ["half dead", "constant", "binary"])
def test_the_order_of_rows_does_not_matter_where_neighbors_tie(name):
    order = np.random.default_rng(3).permutation(N)
    matrix = imbalance_matrix([TIED_NEIGHBORS[name], OTHER])
    moved = imbalance_matrix([TIED_NEIGHBORS[name][order], OTHER[order]])
    np.testing.assert_allclose(moved, matrix, rtol=1e-6)


def test_a_constant_space_says_nothing_of_any_without_ties():
    found = information_imbalance(NASTY["constant"], NASTY["one row at 1e6"])
    np.testing.assert_allclose(found.forward, 1, rtol=1e-6)


def test_unrelated_spaces_give_one_with_the_documented_spread():
    values = [
        float(information_imbalance(gaussian(seed=seed), gaussian(seed=100 + seed)).forward)
        for seed in range(40)
    ]
    spread = 0.58 / np.sqrt(N)
    # The mean of 40 has a sixth of the spread; their own spread is known to 11%.
    assert abs(np.mean(values) - 1) < 4 * spread / np.sqrt(40)
    assert 0.6 * spread < np.std(values) < 1.5 * spread


def test_a_coordinate_is_predicted_by_the_space_but_not_the_space_by_it():
    space = gaussian(d=3).astype(np.float64)
    found = information_imbalance(space, space[:, :1])
    assert found.forward < 0.5 * found.backward


def test_all_others_as_neighbors_give_one():
    cloud = gaussian(37, 20)
    np.testing.assert_allclose(information_imbalance(cloud, cloud[::-1], k=36), 1, rtol=1e-6)


def test_spaces_of_any_scale_and_offset_compare():
    a, b = gaussian(), gaussian(seed=4) + gaussian()
    expected = information_imbalance(a, b)
    scaled = information_imbalance(a * np.float32(2.0**-70), 2.0**60 * b.astype(np.float64))
    shifted = information_imbalance(a.astype(np.float64) + 1e6, b)
    np.testing.assert_allclose(scaled, expected, rtol=1e-6)
    np.testing.assert_allclose(shifted, expected, atol=5 * ONE_RANK)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(0, 1000))
def test_a_common_permutation_of_the_points_changes_nothing(seed):
    a, b = gaussian(seed=seed), gaussian(seed=seed) + gaussian(seed=seed + 1)
    order = np.random.default_rng(seed).permutation(N)
    moved, expected = information_imbalance(a[order], b[order]), information_imbalance(a, b)
    # The ranks are the same numbers in another order, averaged in float32.
    np.testing.assert_allclose(moved, expected, atol=ONE_RANK)


@pytest.mark.parametrize("cloud", ["line", "circle"])
def test_distances_that_float64_ties_are_ranked_alike_in_every_order_of_the_rows(cloud):
    at = np.arange(200) / 200
    turns = np.stack([np.cos(2 * np.pi * at), np.sin(2 * np.pi * at)], axis=1)
    even = {"line": np.linspace(0, 1, 200)[:, None], "circle": turns}[cloud]
    other = gaussian(200, 3)
    found = set()
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(200)
        found.add(np.asarray(information_imbalance(even[order], other[order])).round(6).tobytes())
    assert len(found) == 1


def test_the_matrix_holds_the_pairs():
    spaces = [NASTY["plain"], NASTY["one row at 1e6"], OTHER]
    matrix = imbalance_matrix(spaces)
    for i, a in enumerate(spaces):
        for j, b in enumerate(spaces):
            np.testing.assert_allclose(matrix[i, j], information_imbalance(a, b).forward, rtol=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_the_matrix_of_one_space_is_that_of_the_space_beside_others(k):
    for cloud in (gaussian(), NASTY["grid 0.1"]):
        alone = imbalance_matrix([cloud], k=k)
        assert alone.shape == (1, 1)
        assert alone[0, 0] == imbalance_matrix([cloud, OTHER], k=k)[0, 0]
        traced = jax.jit(lambda x: imbalance_matrix([x], k=k))(cloud)
        np.testing.assert_allclose(traced, alone, rtol=1e-6)
    np.testing.assert_allclose(imbalance_matrix([gaussian()], k=k), (k + 1) / N, rtol=1e-6)


def test_the_matrix_takes_spaces_of_any_width_and_shape():
    images = gaussian(40, 48).reshape(40, 4, 4, 3)
    matrix = imbalance_matrix([images, gaussian(40, 3), images.reshape(40, 48)])
    np.testing.assert_array_equal(matrix[0], matrix[2])
    np.testing.assert_array_equal(matrix[:, 0], matrix[:, 2])


@pytest.mark.slow
def test_no_array_is_as_large_as_n_by_n():
    n = 30_000
    spaces = ((n, 3), jnp.float32), ((n, 50), jnp.float32)
    # The targets of two spaces are compared with a block of 192 rows at once.
    assert largest_array(information_imbalance, *spaces) <= 2 * 192 * filled_length(n)


def test_no_spaces_are_refused():
    with pytest.raises(ValueError, match="expected at least one space, got none"):
        imbalance_matrix([])


def test_spaces_of_different_points_are_refused():
    with pytest.raises(ValueError, match=r"same number of points in every space, got \[5, 6\]"):
        information_imbalance(gaussian(5, 2), gaussian(6, 2))


@pytest.mark.parametrize("k", [0, 5])
def test_k_outside_1_to_n_minus_1_is_refused(k):
    with pytest.raises(ValueError, match=f"expected 1 <= k < n = 5, got k = {k}"):
        information_imbalance(gaussian(5, 2), gaussian(5, 2), k=k)


def test_lists_are_refused():
    with pytest.raises(ValueError, match=r"expected an array .* got list"):
        information_imbalance([[1.0], [2.0]], [[1.0], [2.0]])


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN or infinity in row 4"):
        information_imbalance(gaussian(5, 2), np.array([[1.0]] * 4 + [[np.nan]]))


@pytest.mark.parametrize("case", reference.cases("information_imbalance"))
def test_imbalance_is_that_of_the_reference(case):
    inputs, expected = reference.load(case)
    spaces = list(inputs.values())
    if "matrix" not in expected:
        expected["matrix"] = [
            [[np.nan, forward], [backward, np.nan]]
            for forward, backward in zip(expected["a_to_b"], expected["b_to_a"], strict=True)
        ]
    (tolerance,) = {spec["tolerance"]["atol"] for spec in case["expected"].values()}
    # Every k is compiled for every shape: all of them where the case is hard.
    ks = case["parameters"]["ks"]
    for k, want in zip(ks if case["nasty"] else ks[:1], expected["matrix"], strict=False):
        found = np.where(np.isnan(want), np.nan, imbalance_matrix(spaces, k=k))
        np.testing.assert_allclose(found, want, rtol=0, atol=tolerance)


def test_clusters_far_apart_still_rank_inside_the_cluster():
    cloud = clusters(100)
    # Its own neighbors are inside the cluster, where distances are as clear as anywhere.
    found = information_imbalance(cloud, cloud).forward
    np.testing.assert_allclose(found, 2 / N, rtol=1e-6)
