import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvae.geometry import finding, nearest_neighbors
from jaxvae.geometry.clouds import as_cloud
from jaxvae.geometry.neighbors import search_distinct
from tests import oracles, reference
from tests.clouds import (
    NASTY,
    TIED,
    WIDTHS,
    N,
    clusters,
    exact_duplicates,
    gaussian,
    grid,
    of_width,
    rotation,
)
from tests.memory import largest_array

K = 5
# What float64 itself rounds in sums over the features, and two float32 for one float64.
TOLERANCE = 1e-12
properties = settings(max_examples=8, deadline=None, derandomize=True)
seeds = st.integers(0, 1000)


def assert_exact(cloud, found, k=K, tolerance=TOLERANCE):
    """Right neighbors wherever float64 distances differ by more than the tolerance."""
    indices, distances = np.asarray(found.indices), np.asarray(found.distances)
    true = oracles.distances_to_others(cloud)
    ordered = np.sort(true, axis=1)
    np.testing.assert_allclose(
        np.take_along_axis(true, indices, axis=1), ordered[:, :k], rtol=tolerance
    )
    gaps = np.diff(ordered, axis=1, prepend=-1) > tolerance * ordered
    clear = gaps[:, :k] & np.append(gaps, np.ones((len(gaps), 1), bool), axis=1)[:, 1 : k + 1]
    np.testing.assert_array_equal(indices[clear], oracles.nearest(cloud, k)[clear])
    # Distances below the smallest float32 are zero.
    np.testing.assert_allclose(distances, np.sqrt(ordered[:, :k]), rtol=1e-6, atol=1e-37)
    assert np.all(np.diff(distances, axis=1) >= 0)


@pytest.mark.parametrize("name", NASTY)
def test_neighbors_are_exact_in_nasty_clouds(name):
    assert_exact(NASTY[name], nearest_neighbors(NASTY[name], k=K))


@pytest.mark.parametrize("d", WIDTHS)
def test_neighbors_are_exact_for_every_width(d):
    cloud = of_width(d)
    assert_exact(cloud, nearest_neighbors(cloud, k=K))


@pytest.mark.parametrize("separation", [2, 10, 100])
@pytest.mark.parametrize("d", [3, 784])
def test_tight_clusters_far_apart_keep_their_neighbors(separation, d):
    cloud = clusters(separation, d=d)
    assert_exact(cloud, nearest_neighbors(cloud, k=K))


@pytest.mark.parametrize("name", TIED)
def test_exact_ties_go_to_the_lowest_index(name):
    found = nearest_neighbors(TIED[name], k=K)
    np.testing.assert_array_equal(found.indices, oracles.nearest(TIED[name], K))


@pytest.mark.parametrize("k", [1, 30, 36])
def test_every_k_up_to_all_others_is_exact(k):
    cloud = gaussian(37, 20)
    assert_exact(cloud, nearest_neighbors(cloud, k=k), k)


@pytest.mark.parametrize("n", [2, 3, 16])
def test_few_points_suffice(n):
    cloud = gaussian(n, 20)
    assert_exact(cloud, nearest_neighbors(cloud, k=n - 1), n - 1)


def test_enough_points_for_groups_of_columns_are_searched_exactly():
    cloud = gaussian(1500, 3)
    assert_exact(cloud, nearest_neighbors(cloud, k=2), 2)


@pytest.mark.parametrize("block", [1, 64, 5000])
def test_the_block_size_does_not_matter(block):
    cloud = NASTY["ten clusters"]
    found, expected = nearest_neighbors(cloud, k=K, block=block), nearest_neighbors(cloud, k=K)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-6)


def test_a_point_is_never_its_own_neighbor_though_rows_repeat():
    found = nearest_neighbors(NASTY["constant"], k=K)
    assert not np.any(np.asarray(found.indices) == np.arange(N)[:, None])


KINDS = [bool, np.uint8, np.int8, np.int32, np.int64, np.float16, "bfloat16", np.float32]


@pytest.mark.parametrize("kind", [*KINDS, np.float64])
@pytest.mark.parametrize("convert", [np.asarray, jnp.asarray])
def test_every_type_gives_the_neighbors_of_its_values(kind, convert):
    cloud = grid(2)
    array = np.asarray(jnp.asarray(cloud, kind)) if kind == "bfloat16" else cloud.astype(kind)
    if convert is jnp.asarray and kind in (np.int64, np.float64):
        kind = None  # which is what JAX makes of them without x64
        array = array.tolist()
    found = nearest_neighbors(convert(array), k=K)
    np.testing.assert_array_equal(found.indices, oracles.nearest(cloud, K))


@properties
@given(seeds, st.integers(-60, 60), st.floats(1.0, 1.99))
def test_a_scale_multiplies_the_distances(seed, exponent, factor):
    cloud, scale = gaussian(seed=seed), float(np.ldexp(factor, exponent))
    found = nearest_neighbors(cloud.astype(np.float64) * scale, k=K)
    expected = nearest_neighbors(cloud, k=K)
    # Each of two coordinates is rounded once more when it is multiplied.
    np.testing.assert_allclose(found.distances, expected.distances * scale, rtol=1e-6)


@properties
@given(seeds, st.floats(-1e6, 1e6))
def test_a_shift_of_float64_changes_nothing(seed, shift):
    cloud = gaussian(seed=seed).astype(np.float64)
    found, expected = nearest_neighbors(cloud + shift, k=K), nearest_neighbors(cloud, k=K)
    np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-6)


@properties
@given(seeds)
def test_a_rotation_keeps_the_distances(seed):
    cloud = gaussian(seed=seed).astype(np.float64)
    turned = cloud @ rotation(seed=seed + 1)
    found, expected = nearest_neighbors(turned, k=K), nearest_neighbors(cloud, k=K)
    np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-6)


@properties
@given(seeds)
def test_a_permutation_of_the_points_permutes_the_neighbors(seed):
    cloud = gaussian(seed=seed)
    order = np.random.default_rng(seed).permutation(N)
    found, expected = nearest_neighbors(cloud[order], k=K), nearest_neighbors(cloud, k=K)
    np.testing.assert_allclose(found.distances, expected.distances[order], rtol=1e-6)
    # A Gaussian has no ties that float32 could decide otherwise.
    np.testing.assert_array_equal(order[np.asarray(found.indices)], expected.indices[order])


@properties
@given(seeds, st.integers(0, 20))
def test_zero_columns_change_nothing(seed, place):
    cloud = gaussian(seed=seed)
    padded = np.insert(cloud, [place] * 5, 0, axis=1)
    found, expected = nearest_neighbors(padded, k=K), nearest_neighbors(cloud, k=K)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-6)


@pytest.mark.slow
def test_the_jitted_vmap_equals_the_loop_over_ordinary_and_nasty_clouds():
    names = ["plain", "ten clusters", "grid", "near duplicates", "constant", "one row at 1e6"]
    stacked = jnp.stack([jnp.asarray(NASTY[name]) for name in names])
    found = jax.jit(jax.vmap(lambda cloud: nearest_neighbors(cloud, k=K)))(stacked)
    for place, name in enumerate(names):
        expected = nearest_neighbors(NASTY[name], k=K)
        np.testing.assert_array_equal(found.indices[place], expected.indices)
        np.testing.assert_allclose(found.distances[place], expected.distances, rtol=1e-6)


def distinct(cloud):
    """The points that `search_distinct` calls the first of their kind."""
    return np.asarray(search_distinct(as_cloud(cloud), k=2, mesh=None, progress=None)[1])


@pytest.mark.parametrize("name", NASTY)
def test_distinct_points_are_the_first_of_their_kind(name):
    cloud = NASTY[name]
    _, first = np.unique(oracles.whole(as_cloud(cloud).points)[:N], axis=0, return_index=True)
    np.testing.assert_array_equal(np.flatnonzero(distinct(cloud)), np.sort(first))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "many duplicates", "constant"])
def test_distinct_points_are_found_while_a_function_is_traced(name):
    np.testing.assert_array_equal(jax.jit(distinct_traced)(NASTY[name]), distinct(NASTY[name]))


def distinct_traced(cloud):
    return search_distinct(as_cloud(cloud), k=2, mesh=None, progress=None)[1]


def test_points_that_repeat_others_are_nobodys_neighbors():
    cloud = exact_duplicates()
    found, first = search_distinct(as_cloud(cloud), k=2, mesh=None, progress=None)
    third = len(cloud) // 3
    np.testing.assert_array_equal(found.indices[first], oracles.nearest(cloud[:third], 2))


def test_distances_alone_are_exact_without_putting_equal_ones_in_order(monkeypatch):
    # Of black and white images many are as far as the k-th; float32 holds these distances.
    images = 255 * np.random.default_rng(0).integers(0, 2, (800, 16, 16), np.uint8)
    monkeypatch.setattr(finding, "in_exact_order", None)
    cloud = as_cloud(images)
    assert not cloud.points.on_grid
    found, _ = search_distinct(cloud, k=100, mesh=None, progress=None)
    black = (images.reshape(800, -1) == 0).astype(int)
    differing = black @ (1 - black).T + (1 - black) @ black.T
    np.fill_diagonal(differing, 256)
    expected = 255**2 * np.sort(differing, axis=1)
    # More than there are candidates.
    assert (expected[:, 99] == expected[:, 112]).any()
    np.testing.assert_array_equal(np.ldexp(found.squared, 2 * found.exponent), expected[:, :100])


def test_negative_zero_is_zero():
    cloud = gaussian(50, 3)
    cloud[:, 1] = 0
    assert distinct(np.concatenate([cloud, cloud * np.array([1, -1, 1], np.float32)])).sum() == 50


def test_rows_that_differ_in_one_bit_are_distinct():
    cloud = np.ones((40, 500), np.float32)
    cloud[np.arange(40), np.arange(40) * 12] = np.nextafter(np.float32(1), np.float32(2))
    assert distinct(cloud).all()


def test_memory_does_not_grow_with_k_times_the_width():
    largest = largest_array(lambda x: nearest_neighbors(x, k=1999), ((2000, 784), jnp.float32))
    assert largest < 2**24


@pytest.mark.parametrize("k", [-1, 0, 10, 11])
def test_k_outside_1_to_n_minus_1_is_refused(k):
    with pytest.raises(ValueError, match=f"expected 1 <= k < n = 10, got k = {k}"):
        nearest_neighbors(gaussian(10, 2), k=k)


@pytest.mark.parametrize("block", [0, -1])
def test_a_block_without_rows_is_refused(block):
    with pytest.raises(ValueError, match="expected block >= 1"):
        nearest_neighbors(gaussian(10, 2), k=1, block=block)


def test_nan_is_refused_by_its_row():
    cloud = gaussian(10, 2)
    cloud[4, 1] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity in row 4"):
        nearest_neighbors(cloud, k=1)


def test_distances_too_large_for_float32_are_refused():
    with pytest.raises(ValueError, match="below the largest float32"):
        nearest_neighbors(1e60 * gaussian(10, 2).astype(np.float64), k=1)


@pytest.mark.parametrize("case", reference.cases("neighbours"))
def test_neighbors_are_those_of_the_reference(case):
    inputs, expected = reference.load(case)
    found = nearest_neighbors(inputs["x"], k=case["parameters"]["k"])
    clear = expected["unambiguous"]
    np.testing.assert_array_equal(np.asarray(found.indices)[clear], expected["indices"][clear])
    reference.assert_close(case, "distances", found.distances, expected["distances"])
