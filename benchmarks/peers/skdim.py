"""scikit-dimension (Bac et al. 2021)."""

import numpy as np
from skdim.id import TwoNN

from benchmarks.peers.worker import serve, versions


def two_nn(x: np.ndarray) -> float:
    return float(TwoNN().fit(x).dimension_)


if __name__ == "__main__":
    serve({"two_nn": two_nn}, versions("scikit-dimension", "numpy", "scipy", "scikit-learn"))
