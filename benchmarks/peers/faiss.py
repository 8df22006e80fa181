"""faiss on the CPU: the exact index, `IndexFlatL2`."""

import faiss
import numpy as np

from benchmarks.peers.worker import serve, two_nn_fit, versions


def two_nn(x: np.ndarray) -> float:
    index = faiss.IndexFlatL2(x.shape[1])
    index.add(x)
    squared, _ = index.search(x, 3)
    # The nearest is the point itself, or should be.
    distances = np.sqrt(squared)
    return two_nn_fit(distances[:, 1], distances[:, 2])


if __name__ == "__main__":
    serve({"two_nn": two_nn}, versions("faiss-cpu", "numpy"), np.ascontiguousarray)
