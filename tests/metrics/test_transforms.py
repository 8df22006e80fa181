"""Metrics in transforms: `jit` alone, `vmap` alone, and both where no quick test joins them.

Under `jit` of one cloud the rare branches are conditions, under `vmap` selections; what is not
mapped, or is no argument, is known. All programs here are compiled without optimization, in a third
of the time: which branches there are does not depend on it. Calls of all metrics, and the jitted
`vmap` of TwoNN, ranks and neighbors, are compiled as for users in other tests.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.geometry import conditional_ranks, finding, nearest_neighbors
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
from tests.clouds import NASTY, TIED_NEIGHBORS, gaussian

pytestmark = pytest.mark.slow
# Of small clouds and few neighbors, alike in all metrics, less is compiled.
N, K = 102, 4
PLAIN, NEAR = (NASTY[name][:N] for name in ("plain", "near duplicates"))
# As many others at distance zero as there are candidates: every row is in doubt.
MANY = np.tile(gaussian(N // 17), (17, 1))
OTHER = gaussian(N, seed=9)
LABELS = np.arange(N) % 3
THREE_TIMES = np.tile(gaussian(N // 3), (3, 1))
TOGETHER = [
    PLAIN,
    NEAR,
    MANY,
    THREE_TIMES,
    *(NASTY[name][:N] for name in ("clusters 2 apart", "ten clusters", "grid", "constant")),
    *(TIED_NEIGHBORS[name][:N] for name in ("half dead", "dead")),
]
TARGETS = (np.arange(N)[:, None] + np.arange(1, 6)) % N
# A metric, and what it takes beside the cloud.
METRICS = {
    "two_nn": (two_nn,),
    "two_nn_mle": (two_nn_mle,),
    "levina_bickel": (partial(levina_bickel, k=K),),
    "gride": (partial(gride, max_rank=K),),
    "imbalance": (information_imbalance, OTHER),
    "neighborhood_overlap": (partial(neighborhood_overlap, k=K), OTHER),
    "label_overlap": (partial(label_overlap, k=K), LABELS),
    "ranks": (conditional_ranks, TARGETS),
    "neighbors": (partial(nearest_neighbors, k=K),),
}
# Of those that quick tests do not map: the metric, what it takes beside the cloud, the tolerance.
MAPPED = {name: (*METRICS[name], 1e-5) for name in ("two_nn_mle", "levina_bickel", "gride")}
MAPPED["imbalance"] = (partial(information_imbalance, k=2), OTHER, 1e-6)
MAPPED |= {name: (*METRICS[name], 1e-6) for name in ("neighborhood_overlap", "label_overlap")}


def assert_close(found, expected, *, rtol=1e-5):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol)


@pytest.mark.parametrize("name", METRICS)
def test_jit_equals_the_call_beside_arrays_that_it_knows(name):
    metric, *rest = METRICS[name]
    assert_close(jax.jit(lambda cloud: metric(cloud, *rest))(NEAR), metric(NEAR, *rest))


@pytest.mark.parametrize("metric", [rbf_cka, partial(neighborhood_overlap, k=K)])
def test_an_array_that_a_jitted_function_knows_stands_before_its_argument(metric):
    found = jax.jit(lambda cloud: metric(OTHER, cloud))(PLAIN)
    assert_close(found, metric(OTHER, PLAIN))


def test_rbf_cka_measures_an_array_that_a_jitted_function_knows_beside_its_argument():
    found = jax.jit(lambda cloud: rbf_cka(cloud, OTHER))(PLAIN)
    assert_close(found, rbf_cka(PLAIN, OTHER))


def test_labels_alone_are_an_argument():
    found = jax.jit(partial(label_overlap, PLAIN, k=K))(LABELS)
    assert_close(found, label_overlap(PLAIN, LABELS, k=K))


def test_the_columns_of_ranks_alone_are_an_argument():
    found = jax.jit(partial(conditional_ranks, PLAIN))(TARGETS)
    np.testing.assert_array_equal(found, conditional_ranks(PLAIN, TARGETS))


def test_a_known_array_alone_is_measured_while_a_function_is_traced():
    found = jax.jit(lambda cloud: two_nn(OTHER).value + 0 * cloud[0, 0])(PLAIN)
    assert_close(found, two_nn(OTHER).value)


def test_candidates_alone_decide_no_row_of_many_copies(monkeypatch):
    decided, decide = [], finding._no_other

    def watched(*given):
        decided.append(decide(*given))
        return decided[-1]

    monkeypatch.setattr(finding, "_no_other", watched)
    nearest_neighbors(MANY, k=K)
    assert not decided[0].any()


@pytest.mark.parametrize("name", METRICS)
def test_vmap_equals_the_loop(name):
    metric, *rest = METRICS[name]
    clouds = PLAIN, NEAR, MANY
    found = jax.vmap(lambda cloud: metric(cloud, *rest))(jnp.stack(clouds))
    for place, cloud in enumerate(clouds):
        assert_close(jax.tree.map(lambda leaf, at=place: leaf[at], found), metric(cloud, *rest))


@pytest.mark.parametrize("name", MAPPED)
def test_the_jitted_vmap_equals_the_loop_over_ordinary_and_nasty_clouds(name):
    metric, *rest, rtol = MAPPED[name]
    mapped = jax.vmap(metric, in_axes=(0, *[None] * len(rest)))
    found = jax.jit(mapped)(jnp.stack(TOGETHER), *rest)
    for place, cloud in enumerate(TOGETHER):
        together = jax.tree.map(lambda leaf, at=place: leaf[at], found)
        assert_close(together, metric(cloud, *rest), rtol=rtol)


@pytest.mark.parametrize("name", METRICS)
def test_metrics_of_float32_are_the_same_where_float64_is_enabled(name):
    metric, *rest = METRICS[name]
    expected = metric(NEAR, *rest)
    with jax.enable_x64(True):
        assert_close(metric(NEAR, *rest), expected)
        assert_close(jax.jit(metric)(NEAR, *map(jnp.asarray, rest)), expected)


@pytest.mark.parametrize("metric", [linear_cka, debiased_cka, rbf_cka])
def test_cka_of_float32_is_the_same_where_float64_is_enabled(metric):
    expected = metric(PLAIN, OTHER)
    with jax.enable_x64(True):
        np.testing.assert_allclose(metric(PLAIN, OTHER), expected, atol=2e-6)
        np.testing.assert_allclose(jax.jit(metric)(PLAIN, OTHER), expected, atol=2e-6)
