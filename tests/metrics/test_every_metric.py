"""What every metric of points keeps to: their order and axes do not count, nor all their pairs."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvae.geometry import conditional_ranks, nearest_neighbors
from jaxvae.metrics import gride, label_overlap, levina_bickel, neighborhood_overlap, two_nn
from tests.clouds import N, gaussian
from tests.memory import largest_array
from tests.tiers import parametrize

MANY = 30_000
LABELS = (MANY,), jnp.int32
TARGETS = (MANY, 6), jnp.int32
DIMENSIONS = {
    "two_nn": lambda x: two_nn(x).value,
    "levina_bickel": lambda x: levina_bickel(x).value,
    "gride": lambda x: gride(x).values,
}
dimensions = pytest.mark.parametrize("dimension", DIMENSIONS.values(), ids=DIMENSIONS)


def points(d):
    return (MANY, d), jnp.float32


def two_nearest(x):
    return nearest_neighbors(x, k=2)


@parametrize(
    ("metric", "inputs", "share"),
    [
        (two_nn, [points(50)], 100),
        (two_nearest, [points(50)], 100),
        # A block by the targets by n, of comparisons that are summed as they are formed.
        (conditional_ranks, [points(50), TARGETS], 15),
        (two_nearest, [points(3)], 100),
        (conditional_ranks, [points(3), TARGETS], 15),
        (levina_bickel, [points(50)], 100),
        (gride, [points(50)], 100),
        (neighborhood_overlap, [points(50), points(50)], 100),
        (label_overlap, [points(50), LABELS], 100),
    ],
    quick=3,
)
def test_no_array_is_as_large_as_n_by_n(metric, inputs, share):
    assert largest_array(metric, *inputs) < MANY**2 / share


@dimensions
@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(0, 1000))
def test_a_permutation_of_the_points_changes_no_dimension(dimension, seed):
    cloud = gaussian(seed=seed)
    moved = np.random.default_rng(seed).permutation(cloud)
    np.testing.assert_allclose(dimension(moved), dimension(cloud), rtol=1e-5)


@dimensions
def test_the_trailing_axes_of_points_are_flattened(dimension):
    cloud = gaussian()
    np.testing.assert_array_equal(dimension(cloud.reshape(N, 2, 5, 2)), dimension(cloud))
