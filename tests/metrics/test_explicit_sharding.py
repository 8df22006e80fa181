"""Arrays whose type says how they are spread over devices, as those of `jax.make_mesh` do.

Traced for two devices that need not exist: where a result is to be is asked then, and not when
it runs. Numbers over real devices are compared in `tests/geometry/test_devices.py`.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

from jaxvae.geometry import conditional_ranks
from jaxvae.metrics import (
    accuracy_bound,
    active_units,
    cka_matrix,
    debiased_cka,
    gride,
    imbalance_matrix,
    inception_score,
    label_overlap,
    latent_types,
    levina_bickel,
    neighborhood_overlap,
    overlap_matrix,
    procrustes_matrix,
    rbf_cka,
    svcca,
    svcca_matrix,
    two_nn,
)

OTHER = np.random.default_rng(0).standard_normal((200, 4)).astype(np.float32)
METRICS = {
    "accuracy_bound": lambda x: accuracy_bound(x, np.full(4, 0.25)),
    "active_units": active_units,
    "cka_matrix": lambda x: cka_matrix([x, OTHER]),
    "debiased_cka": partial(debiased_cka, OTHER),
    "inception_score": inception_score,
    "latent_types": latent_types,
    "procrustes_matrix": lambda x: procrustes_matrix([x, OTHER]),
    "rbf_cka": partial(rbf_cka, OTHER),
    "svcca": partial(svcca, OTHER),
    "svcca_matrix": lambda x: svcca_matrix([x, OTHER]),
}
OF_NEIGHBORS = {
    "gride": gride,
    "imbalance_matrix": lambda x: imbalance_matrix([x, OTHER]),
    "label_overlap": lambda x: label_overlap(x, np.arange(200) % 3, k=5),
    "levina_bickel": partial(levina_bickel, k=5),
    "neighborhood_overlap": partial(neighborhood_overlap, OTHER, k=5),
    "overlap_matrix": lambda x: overlap_matrix([x, OTHER], k=5),
    "ranks": partial(conditional_ranks, indices=(np.arange(200)[:, None] + 1) % 200),
    "two_nn": two_nn,
}


def rows_over_two_devices(shape):
    mesh = AbstractMesh((2,), ("rows",), axis_types=(AxisType.Explicit,))
    spread = NamedSharding(mesh, PartitionSpec(*[None] * (len(shape) - 2), "rows"))
    return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=spread)


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_traced(name):
    jax.jit(METRICS[name]).trace(rows_over_two_devices((200, 8)))


# RBF CKA computes the known space at once, for which the mesh has no devices here.
@pytest.mark.parametrize("name", sorted(METRICS.keys() - {"rbf_cka"}))
def test_metrics_are_traced_where_the_mesh_is_set_for_all(name):
    cloud = rows_over_two_devices((200, 8))
    with jax.sharding.use_abstract_mesh(cloud.sharding.mesh):
        jax.jit(METRICS[name]).trace(cloud)


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_NEIGHBORS)
def test_metrics_of_neighbors_are_traced(name):
    jax.jit(OF_NEIGHBORS[name]).trace(rows_over_two_devices((200, 8)))


def test_a_metric_is_mapped_over_spread_clouds():
    found = jax.jit(jax.vmap(METRICS["cka_matrix"])).trace(rows_over_two_devices((3, 200, 8)))
    assert found.out_info.shape == (3, 2, 2)
