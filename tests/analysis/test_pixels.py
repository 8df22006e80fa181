"""Images of models become bytes."""

import numpy as np

from jaxvae.analysis.pixels import as_bytes


def test_floats_become_bytes():
    images = np.array([-1.0, 0.0, 0.5, 1.0, 2.0, np.nan, 0.499])
    assert as_bytes(images).tolist() == [0, 0, 128, 255, 255, 0, 127]
