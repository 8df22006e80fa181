"""Metrics in the transforms that the quick tests of every metric join: `jit` alone, `vmap` alone.

Under `jit` of one cloud the rare branches are conditions, under `vmap` selections; under `vmap`
alone what is not mapped is known.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.geometry import conditional_ranks, nearest_neighbors
from jaxvae.metrics import (
    debiased_cka,
    gride,
    information_imbalance,
    label_overlap,
    levina_bickel,
    linear_cka,
    neighborhood_overlap,
    rbf_cka,
    two_nn,
    two_nn_mle,
)
from tests.clouds import NASTY, N, gaussian

pytestmark = pytest.mark.slow
OTHER = gaussian(seed=9)
LABELS = np.arange(N) % 3
TARGETS = (np.arange(N)[:, None] + np.arange(1, 6)) % N
# A metric, and what it takes beside the cloud.
METRICS = {
    "two_nn": (two_nn,),
    "two_nn_mle": (two_nn_mle,),
    "levina_bickel": (levina_bickel,),
    "gride": (gride,),
    "imbalance": (information_imbalance, OTHER),
    "neighborhood_overlap": (neighborhood_overlap, OTHER),
    "label_overlap": (label_overlap, LABELS),
    "ranks": (conditional_ranks, TARGETS),
    "neighbors": (lambda cloud: nearest_neighbors(cloud, k=5),),
}


def assert_close(found, expected):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("name", METRICS)
def test_jit_equals_the_call(name):
    metric, *rest = METRICS[name]
    cloud = NASTY["near duplicates"]
    assert_close(jax.jit(metric)(cloud, *map(jnp.asarray, rest)), metric(cloud, *rest))


@pytest.mark.parametrize("name", METRICS)
def test_vmap_equals_the_loop(name):
    metric, *rest = METRICS[name]
    clouds = [NASTY["plain"], NASTY["many duplicates"]]
    found = jax.vmap(lambda cloud: metric(cloud, *rest))(jnp.stack(list(map(jnp.asarray, clouds))))
    for place, cloud in enumerate(clouds):
        assert_close(jax.tree.map(lambda leaf, at=place: leaf[at], found), metric(cloud, *rest))


@pytest.mark.parametrize("name", METRICS)
def test_metrics_of_float32_are_the_same_where_float64_is_enabled(name):
    metric, *rest = METRICS[name]
    cloud = NASTY["near duplicates"]
    expected = metric(cloud, *rest)
    with jax.enable_x64(True):
        assert_close(metric(cloud, *rest), expected)
        assert_close(jax.jit(metric)(cloud, *map(jnp.asarray, rest)), expected)


@pytest.mark.parametrize("metric", [linear_cka, debiased_cka, rbf_cka])
def test_cka_of_float32_is_the_same_where_float64_is_enabled(metric):
    cloud = NASTY["plain"]
    expected = metric(cloud, OTHER)
    with jax.enable_x64(True):
        np.testing.assert_allclose(metric(cloud, OTHER), expected, atol=2e-6)
        np.testing.assert_allclose(jax.jit(metric)(cloud, OTHER), expected, atol=2e-6)


@pytest.mark.parametrize(
    ("metric", "known"),
    [
        (information_imbalance, OTHER),
        (neighborhood_overlap, OTHER),
        (rbf_cka, OTHER),
        (lambda cloud, known: two_nn(known).value + 0 * cloud[0, 0], OTHER),
    ],
    ids=["imbalance", "overlap", "rbf", "dimension"],
)
def test_an_array_that_a_jitted_function_knows_is_measured_beside_its_argument(metric, known):
    cloud = NASTY["plain"]
    found = jax.jit(lambda x: metric(x, known))(cloud)
    assert_close(found, metric(cloud, known))
