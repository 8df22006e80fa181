"""DADApy (Glielmo et al. 2022), with both cores wherever it takes a number of jobs.

It casts to float64. For information imbalances it sorts every row of the n x n distances
of a space; the sorted indices are made once a space and serve every pair, which its
public functions do not do (they sort anew for each).
"""

import multiprocessing

import numpy as np
from dadapy import Data
from dadapy._utils.metric_comparisons import _return_imbalance

from benchmarks.peers.worker import serve, versions

CORES = multiprocessing.cpu_count()


def two_nn(x: np.ndarray) -> float:
    # Two neighbors, where the default would look for a hundred.
    return Data(x, maxk=2, n_jobs=CORES).compute_id_2NN()[0]


def gride(x: np.ndarray) -> np.ndarray:
    return Data(x, n_jobs=CORES).return_id_scaling_gride(range_max=64)[0]


def sorted_neighbors(x: np.ndarray) -> np.ndarray:
    data = Data(x, maxk=len(x) - 1, n_jobs=CORES)
    data.compute_distances()
    return data.dist_indices.astype(np.int32)


def imbalance_matrix(*spaces: np.ndarray) -> np.ndarray:
    """Entry [i, j] is Delta(i -> j); the trivial diagonal is left out as NaN."""
    neighbors, rng = [sorted_neighbors(space) for space in spaces], np.random.default_rng(0)
    matrix = np.full((len(spaces), len(spaces)), np.nan)
    for i, j in np.ndindex(*matrix.shape):
        if i != j:
            matrix[i, j] = _return_imbalance(neighbors[i], neighbors[j], rng)
    return matrix


def information_imbalance(a: np.ndarray, b: np.ndarray) -> list[float]:
    matrix = imbalance_matrix(a, b)
    return [matrix[0, 1], matrix[1, 0]]


if __name__ == "__main__":
    works = (two_nn, gride, information_imbalance, imbalance_matrix)
    packages = versions("dadapy", "jax", "joblib", "numpy", "scipy", "scikit-learn")
    serve({work.__name__: work for work in works}, packages)
