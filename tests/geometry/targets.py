"""Points of which a rank is asked."""

import numpy as np

from tests import oracles
from tests.clouds import N, gaussian

# Near, far and arbitrary others: two neighbors in an unrelated cloud and one at random.
TARGETS = np.append(
    oracles.nearest(gaussian(seed=5), 2),
    (np.arange(N) + np.random.default_rng(0).integers(1, N, N))[:, None] % N,
    axis=1,
)
