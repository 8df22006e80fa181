"""What an accelerator settles on the device has the ranks and neighbors of the host."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.geometry import conditional_ranks, nearest_neighbors
from jaxvae.geometry.clouds import as_cloud
from jaxvae.geometry.distances import distance_bounds
from jaxvae.geometry.settling_on_device import counted
from jaxvae.metrics import imbalance_matrix, two_nn
from jaxvae.platforms import compiled_for
from tests import oracles
from tests.clouds import NASTY, TIED, N, clusters, gaussian
from tests.geometry.targets import TARGETS
from tests.tiers import parametrize


def on_accelerator(function, *given, **options):
    with compiled_for("tpu"):
        return function(*given, **options)


@pytest.mark.parametrize("name", NASTY)
def test_ranks_are_those_of_the_host(name):
    ranks = on_accelerator(conditional_ranks, NASTY[name], TARGETS)
    np.testing.assert_array_equal(ranks, conditional_ranks(NASTY[name], TARGETS))


@pytest.mark.parametrize("name", NASTY)
def test_neighbors_are_those_of_the_host(name):
    found = on_accelerator(nearest_neighbors, NASTY[name], k=3)
    expected = nearest_neighbors(NASTY[name], k=3)
    np.testing.assert_array_equal(found.indices, expected.indices)
    # A program may fuse a product with a sum, where NumPy rounds twice.
    np.testing.assert_allclose(found.distances, expected.distances, rtol=3e-7)


@pytest.mark.parametrize("name", TIED)
def test_exact_ties_count_half(name):
    expected, _ = oracles.rank_bounds(TIED[name], TARGETS)
    np.testing.assert_array_equal(on_accelerator(conditional_ranks, TIED[name], TARGETS), expected)


@parametrize("settled", ["on the device", "on the host", "in a trace"], quick=2)
def test_ties_of_sums_of_two_squares_are_exact(settled):
    # Both points of a pair are as far from the first, (r² + s²)(t² + u²) = A² + B² = C² + D², and
    # 48 bits do not hold the squares of coordinates over so many magnitudes.
    random, cloud = np.random.default_rng(0), [[(2**23 + 2**22 + 12345) * 2**16, 0]]
    for _ in range(50):
        r, (s, u) = int(random.integers(2**19, 2**20)), map(int, random.integers(3, 6, 2))
        t = round(cloud[0][0] / r)
        cloud.append([cloud[0][0] - (r * t + s * u), r * u - s * t])
        cloud.append([cloud[0][0] - (r * t - s * u), r * u + s * t])
    exact = np.pad(np.array(cloud), ((0, 0), (0, 6)))
    n, values = len(exact), exact.astype(np.float32)
    assert (values.astype(np.int64) == exact).all()
    targets = (np.arange(n)[:, None] + np.arange(1, n)) % n
    squared = [
        sum((int(a) - int(b)) ** 2 for a, b in zip(exact[0], row, strict=True)) for row in exact
    ]
    expected = [
        1
        + sum(other < squared[t] for other in squared[1:])
        + (sum(other == squared[t] for other in squared[1:]) - 1) / 2
        for t in targets[0]
    ]
    if settled == "in a trace":
        ranks = jax.jit(conditional_ranks)(values, targets)
    elif settled == "on the device":
        ranks = on_accelerator(conditional_ranks, values, targets)
    else:
        ranks = conditional_ranks(values, targets)
    np.testing.assert_array_equal(ranks[0], expected)


def test_float64_is_compared_beyond_its_own_precision():
    # On a circle many distances differ by no more than the coordinates are rounded.
    angles = 2 * np.pi * np.arange(N) / N
    circle = np.stack([np.cos(angles), 0 * angles, np.sin(angles)], axis=1)
    targets = oracles.nearest(circle, 20)
    got = on_accelerator(conditional_ranks, circle, targets)
    np.testing.assert_array_equal(got, conditional_ranks(circle, targets))


@parametrize(
    "names",
    [("ten clusters", "many duplicates"), ("plain", "ten clusters", "many duplicates", "uint8")],
    ids=", ".join,
)
def test_a_matrix_of_spaces_is_that_of_the_host(names):
    spaces = [NASTY[name] for name in names]
    got = on_accelerator(imbalance_matrix, spaces, k=2)
    np.testing.assert_array_equal(got, imbalance_matrix(spaces, k=2))


def test_dimensions_are_those_of_the_host():
    for name in ("plain", "exact duplicates", "clusters 100 apart"):
        got, expected = on_accelerator(two_nn, NASTY[name]), two_nn(NASTY[name])
        np.testing.assert_allclose(jnp.stack(got), jnp.stack(expected), rtol=1e-6)


@jax.jit
def counted_on_the_device(points):
    rows = jnp.arange(N)
    return counted(points, rows, distance_bounds(points, rows), jnp.asarray(TARGETS, jnp.int32))


@pytest.mark.parametrize(
    ("cloud", "left_out"),
    [
        (gaussian(), False),
        (clusters(10, count=10), False),
        (clusters(100), True),
        (np.ones((N, 20)), False),
    ],
    ids=["few are open", "many rounds of open ones", "too many are open", "all tie on a grid"],
)
def test_all_is_counted_on_the_device_but_for_rows_with_too_much_open(cloud, left_out):
    points = as_cloud(jnp.asarray(cloud, jnp.float32)).points
    doubled, heavy = map(np.asarray, counted_on_the_device(points))
    assert heavy.any() == left_out
    expected = np.asarray(conditional_ranks(cloud.astype(np.float32), TARGETS))
    np.testing.assert_array_equal((1 + doubled / 2)[~heavy], expected[~heavy])
