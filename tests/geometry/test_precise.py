"""Threefold precision against exact fractions, of every width and shape, traced and on the host."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.geometry.points import as_points
from jaxvae.geometry.precise import precise_distances, precise_row
from tests.clouds import gaussian

N = 6
ROWS = np.array([0, 3, 4])
COLUMNS = np.array([[1, 2, 5], [4, 3, 0]])


def exact(points, i, j):
    whole = [
        [Fraction(float(value)) for value in row]
        for row in points.values.astype(np.float64)
        + (0 if points.rest is None else points.rest.astype(np.float64))
    ]
    return sum((a - b) ** 2 for a, b in zip(whole[i], whole[j], strict=True))


def assert_exact(found, points, i, j):
    for place in np.ndindex(np.broadcast_shapes(i.shape, j.shape)):
        at = (int(np.broadcast_to(index, found.first.shape)[place]) for index in (i, j))
        expected = exact(points, *at)
        total = sum(Fraction(float(part[place])) for part in found)
        assert abs(total - expected) <= Fraction(2) ** -56 * expected


@pytest.mark.parametrize("d", [1, 3, 64, 65, 130])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squared_distances_are_those_of_fractions_of_every_width(d, dtype):
    # Of float64 there is a rest beyond float32.
    cloud = gaussian(N, d).astype(dtype) + (1e-9 * gaussian(N, d, seed=1)).astype(dtype)
    (points,) = as_points(cloud)
    assert (points.rest is None) == (dtype == np.float32)
    on_device = jax.tree.map(jnp.asarray, points)
    assert_exact(precise_distances(points, ROWS, COLUMNS), points, ROWS, COLUMNS)
    traced = jax.jit(precise_distances)(on_device, ROWS, COLUMNS)
    assert_exact(traced, points, ROWS, COLUMNS)
    row = jax.jit(precise_row)(on_device, jnp.int32(2))
    assert_exact(row, points, np.array([2]), np.arange(N))
