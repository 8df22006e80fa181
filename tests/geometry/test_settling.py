"""What an accelerator settles on the device has the numbers of the host, to the last bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.geometry import conditional_ranks, nearest_neighbors
from jaxvae.geometry.clouds import as_cloud
from jaxvae.geometry.counting import counted
from jaxvae.geometry.distances import distance_bounds
from jaxvae.metrics import imbalance_matrix, two_nn
from jaxvae.platforms import compiled_for
from tests import oracles
from tests.clouds import NASTY, TIED, N, clusters, gaussian
from tests.geometry.test_ranks import TARGETS


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
    for got, expected in zip(found, nearest_neighbors(NASTY[name], k=3), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", TIED)
def test_exact_ties_count_half(name):
    expected, _ = oracles.rank_bounds(TIED[name], TARGETS)
    np.testing.assert_array_equal(on_accelerator(conditional_ranks, TIED[name], TARGETS), expected)


def test_a_matrix_of_spaces_is_that_of_the_host():
    spaces = [NASTY[name] for name in ("plain", "ten clusters", "many duplicates", "uint8")]
    got = on_accelerator(imbalance_matrix, spaces, k=2)
    np.testing.assert_array_equal(got, imbalance_matrix(spaces, k=2))


def test_dimensions_are_those_of_the_host():
    for name in ("plain", "exact duplicates", "clusters 100 apart"):
        got, expected = on_accelerator(two_nn, NASTY[name]), two_nn(NASTY[name])
        np.testing.assert_array_equal(jnp.stack(got), jnp.stack(expected))


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
    rows, targets = jnp.arange(N), jnp.asarray(TARGETS, jnp.int32)

    @jax.jit
    def count(points):
        return counted(points, rows, distance_bounds(points, rows), targets)

    doubled, heavy = map(np.asarray, count(points))
    assert heavy.any() == left_out
    expected = np.asarray(conditional_ranks(cloud.astype(np.float32), TARGETS))
    np.testing.assert_array_equal((1 + doubled / 2)[~heavy], expected[~heavy])
