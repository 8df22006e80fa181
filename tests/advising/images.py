"""Images of which the dimension is known."""

import numpy as np


def linear_images(rank, *, n=2500, side=8):
    """Bytes around gray: a Gaussian of so many dimensions, drawn into orthogonal patterns."""
    random = np.random.default_rng(rank)
    patterns = np.linalg.qr(random.standard_normal((side**2, rank)))[0].T
    values = 0.5 + random.standard_normal((n, rank)) @ patterns * 0.14 * side / np.sqrt(rank)
    return np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8).reshape(n, side, side)
