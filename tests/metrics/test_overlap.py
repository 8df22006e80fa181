import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvae.metrics.overlap import (
    _mean_share,
    label_overlap,
    neighborhood_overlap,
    overlap_matrix,
)
from tests import oracles, reference
from tests.clouds import NASTY, TIED, N, gaussian, rotation

OTHER = NASTY["plain"] + gaussian(seed=9)
LABELS = np.random.default_rng(3).choice([4, 7, -2], N, p=[0.6, 0.3, 0.1])
# The place of one neighbor, where float32 cannot tell which of two is the k-th.
ONE = 1 / (30 * N)
# Distances differ by less than float32 can tell at every point: neighbors at the k-th
# place are swapped for others that are as far.
ROUNDED = {"grid 0.1", "hidden steps"}
CLEAR = [name for name in NASTY if name not in ROUNDED]


def overlap(a, b, k=30):
    return oracles.neighborhood_overlap(a, b, k)


def label_share(x, labels, k=30):
    return oracles.label_overlap(x, labels, k)


@pytest.mark.parametrize("name", CLEAR)
def test_overlap_is_the_share_of_common_neighbors_in_nasty_clouds(name):
    found = neighborhood_overlap(NASTY[name], OTHER)
    np.testing.assert_allclose(found, overlap(NASTY[name], OTHER), atol=3 * ONE)


@pytest.mark.parametrize("name", CLEAR)
def test_label_overlap_is_the_share_of_neighbors_alike_in_nasty_clouds(name):
    found = label_overlap(NASTY[name], LABELS)
    np.testing.assert_allclose(found, label_share(NASTY[name], LABELS), atol=3 * ONE)


@pytest.mark.parametrize("name", TIED)
def test_points_that_tie_share_the_last_places_exactly(name):
    np.testing.assert_allclose(
        neighborhood_overlap(TIED[name], OTHER), overlap(TIED[name], OTHER), rtol=1e-6
    )
    np.testing.assert_allclose(
        label_overlap(TIED[name], LABELS), label_share(TIED[name], LABELS), rtol=1e-6
    )


@pytest.mark.parametrize("k", [1, 5, N - 1])
def test_overlaps_are_those_of_the_definition_for_every_k(k):
    a = gaussian(d=3)
    np.testing.assert_allclose(neighborhood_overlap(a, OTHER, k=k), overlap(a, OTHER, k), rtol=1e-6)
    np.testing.assert_allclose(label_overlap(a, LABELS, k=k), label_share(a, LABELS, k), rtol=1e-6)


def test_a_space_overlaps_wholly_with_itself_and_symmetrically_with_others():
    cloud = gaussian()
    assert neighborhood_overlap(cloud, cloud) == 1
    assert neighborhood_overlap(cloud, OTHER) == neighborhood_overlap(OTHER, cloud)


def test_the_matrix_is_that_of_the_pairs():
    spaces = [gaussian(), NASTY["many duplicates"], NASTY["constant"], OTHER]
    found = overlap_matrix(spaces, k=7)
    pairs = [[neighborhood_overlap(a, b, k=7) for b in spaces] for a in spaces]
    np.testing.assert_array_equal(found, pairs)
    with pytest.raises(ValueError, match="at least one space, got none"):
        overlap_matrix([])


def test_points_count_as_done_over_all_spaces():
    told = []
    overlap_matrix([gaussian()] * 3, progress=lambda done, n: told.append((done, n)))
    assert told == sorted(told)
    assert told[-1] == (N, N)
    assert {n for _, n in told} == {N}
    # The first search alone is a third of the work.
    assert told[0][0] <= N / 3


def test_the_whole_is_exactly_one():
    @jax.jit
    def overlaps(cloud, labels):
        return neighborhood_overlap(cloud, cloud, k=7), label_overlap(cloud, labels, k=7)

    assert overlaps(gaussian(49, 3), np.zeros(49, np.int32)) == (1, 1)


# Times the rounded inverse of 41 or of 47, so many ones are not one.
@pytest.mark.parametrize(("n", "k"), [(49, 1), (49, 11), (49, 24), (41, 7), (47, 7)])
def test_the_mean_of_whole_counts_is_exactly_one_in_a_program(n, k):
    assert jax.jit(_mean_share, static_argnums=1)(np.full(n, k, np.float32), k) == 1


def test_all_others_as_neighbors_are_common():
    assert neighborhood_overlap(gaussian(37, 3), gaussian(37, 5, 1), k=36) == 1


def test_unrelated_spaces_have_k_of_n_minus_1_neighbors_in_common():
    found = [neighborhood_overlap(gaussian(seed=s), gaussian(seed=100 + s)) for s in range(20)]
    # Hypergeometric counts of mean 3 in 30 for 20 times 300 points, not quite independent.
    np.testing.assert_allclose(np.mean(found), 30 / (N - 1), rtol=0.03)


def test_a_constant_space_overlaps_like_an_unrelated_one():
    found = neighborhood_overlap(NASTY["constant"], gaussian())
    np.testing.assert_allclose(found, 30 / (N - 1), rtol=1e-6)


def test_in_a_constant_space_a_label_is_as_frequent_around_a_point_as_among_all():
    _, counts = np.unique(LABELS, return_counts=True)
    expected = (counts * (counts - 1)).sum() / (N * (N - 1))
    np.testing.assert_allclose(label_overlap(NASTY["constant"], LABELS), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["binary", "many duplicates", "constant"])
def test_the_order_of_rows_does_not_matter_where_neighbors_tie(name):
    order, cloud = np.argsort(LABELS, kind="stable"), NASTY[name]
    for found, moved in (
        (neighborhood_overlap(cloud, OTHER), neighborhood_overlap(cloud[order], OTHER[order])),
        (label_overlap(cloud, LABELS), label_overlap(cloud[order], LABELS[order])),
    ):
        np.testing.assert_allclose(moved, found, rtol=1e-6)


def test_classes_apart_are_alike_and_labels_at_random_are_not():
    classes = np.arange(N) % 3
    apart = gaussian() + 100 * classes[:, None].astype(np.float32)
    assert label_overlap(apart, classes) == 1
    shares = np.array([0.6, 0.3, 0.1])
    np.testing.assert_allclose(label_overlap(gaussian(), LABELS), np.sum(shares**2), rtol=0.15)


def test_one_label_for_all_is_always_alike():
    assert label_overlap(gaussian(), np.zeros(N, int)) == 1


def test_labels_of_every_kind_are_told_apart():
    classes = np.arange(N) % 2
    expected = label_overlap(gaussian(), classes)
    for labels in (classes.astype(bool), classes.astype(np.uint8), classes * 2**32, -classes):
        assert label_overlap(gaussian(), labels) == expected
    assert label_overlap(jnp.asarray(gaussian()), jnp.asarray(classes)) == expected


properties = settings(max_examples=8, deadline=None, derandomize=True)


@properties
@given(st.integers(0, 1000), st.floats(-20, 20), st.floats(-1e3, 1e3))
def test_scale_shift_and_rotation_change_nothing(seed, exponent, shift):
    cloud = gaussian(seed=seed).astype(np.float64)
    moved = 10**exponent * (cloud @ rotation(seed=seed + 1) + shift)
    assert neighborhood_overlap(cloud, moved) >= 1 - 3 * ONE
    np.testing.assert_allclose(
        label_overlap(moved, LABELS), label_overlap(cloud, LABELS), atol=3 * ONE
    )


@properties
@given(st.integers(0, 1000))
def test_a_common_permutation_of_the_points_changes_nothing(seed):
    order = np.random.default_rng(seed).permutation(N)
    a, b = gaussian(seed=seed), gaussian(seed=seed) + gaussian(seed=seed + 1)
    np.testing.assert_allclose(
        neighborhood_overlap(a[order], b[order]), neighborhood_overlap(a, b), atol=3 * ONE
    )
    np.testing.assert_allclose(
        label_overlap(a[order], LABELS[order]), label_overlap(a, LABELS), atol=3 * ONE
    )


def test_spaces_of_any_shape_compare():
    images = gaussian(40, 48).reshape(40, 4, 4, 3)
    assert neighborhood_overlap(images, images.reshape(40, 48), k=5) == 1


@pytest.mark.parametrize("k", [0, 5])
def test_k_outside_1_to_n_minus_1_is_refused(k):
    with pytest.raises(ValueError, match=f"expected 1 <= k < n = 5, got k = {k}"):
        neighborhood_overlap(gaussian(5, 2), gaussian(5, 2), k=k)
    with pytest.raises(ValueError, match=f"expected 1 <= k < n = 5, got k = {k}"):
        label_overlap(gaussian(5, 2), np.arange(5), k=k)


def test_spaces_of_different_points_are_refused():
    with pytest.raises(ValueError, match=r"same number of points in every space, got \[5, 6\]"):
        neighborhood_overlap(gaussian(5, 2), gaussian(6, 2), k=2)


@pytest.mark.parametrize("labels", [np.arange(6), np.zeros((5, 1), int), [0] * 4])
def test_labels_that_are_not_one_of_every_point_are_refused(labels):
    with pytest.raises(ValueError, match=r"expected .*labels \[n = 5\], got"):
        label_overlap(gaussian(5, 2), labels, k=2)


def test_nan_is_refused():
    broken = np.array([[1.0]] * 4 + [[np.nan]])
    with pytest.raises(ValueError, match="NaN or infinity in row 4"):
        neighborhood_overlap(gaussian(5, 2), broken, k=2)
    with pytest.raises(ValueError, match="NaN or infinity in row 4"):
        label_overlap(broken, np.arange(5), k=2)


@pytest.mark.parametrize("case", reference.cases("overlap"))
def test_overlaps_are_those_of_the_reference(case):
    inputs, expected = reference.load(case)
    a, b, labels, k = inputs["a"], inputs["b"], inputs["labels"], case["parameters"]["k"]
    shared = neighborhood_overlap(a, b, k=k)
    reference.assert_close(case, "overlap", shared, expected["overlap"])
    reference.assert_close(case, "labels_a", label_overlap(a, labels, k=k), expected["labels_a"])
    reference.assert_close(case, "labels_b", label_overlap(b, labels, k=k), expected["labels_b"])
