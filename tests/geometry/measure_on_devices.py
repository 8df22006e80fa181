"""Print, to the last bit, what the metrics give on a mesh of all devices there are."""

import hashlib
import sys

import jax
import numpy as np

from jaxvae.geometry import conditional_ranks, nearest_neighbors
from jaxvae.metrics import debiased_cka, imbalance_matrix, neighborhood_overlap, two_nn

process, processes, port = sys.argv[1:]
if processes != "1":
    jax.distributed.initialize(f"127.0.0.1:{port}", int(processes), int(process))

generator = np.random.default_rng(0)
cloud = generator.standard_normal((900, 30)).astype(np.float32)
cloud[50:100] = 10 + 1e-3 * cloud[50:100]
cloud[100:110] = cloud[90:100]
cloud[110:140] = cloud[0]
other = (cloud @ generator.standard_normal((30, 5))).astype(np.float64)
targets = (np.arange(900)[:, None] + [1, 7]) % 900

mesh = jax.make_mesh((jax.device_count(),), ("points",))
results = {
    "neighbors": nearest_neighbors(cloud, k=3, mesh=mesh),
    "ranks": conditional_ranks(cloud, targets, mesh=mesh),
    "dimension": two_nn(cloud, mesh=mesh),
    "imbalance": imbalance_matrix([cloud, other], k=2, mesh=mesh),
    "overlap": neighborhood_overlap(cloud, other, k=5, mesh=mesh),
}
# Of arrays whose type says that their rows are on different devices of this process.
own = jax.make_mesh((jax.local_device_count(),), ("rows",), devices=jax.local_devices())
rows = jax.sharding.NamedSharding(own, jax.sharding.PartitionSpec("rows"))
spread = jax.device_put(cloud, rows), jax.device_put(np.float32(other), rows)
results["of spread arrays"] = two_nn(spread[0]), debiased_cka(*spread)
with jax.set_mesh(own):
    results["of spread arrays in a set mesh"] = two_nn(spread[0]), debiased_cka(*spread)
# To rounding: how XLA adds in a larger program follows from how many devices there are.
traced, known = jax.jit(debiased_cka)(*spread), results["of spread arrays"][1]
np.testing.assert_allclose(np.asarray(traced), np.asarray(known), rtol=1e-5)
for name, result in results.items():
    for leaf in jax.tree.leaves(result):
        # A digest: two processes whose output fills their pipes would wait for each other.
        print("bits", name, hashlib.sha256(np.asarray(leaf).tobytes()).hexdigest())
