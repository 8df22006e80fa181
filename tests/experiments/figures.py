"""Figures as they are on the disk."""

import matplotlib.image
import numpy as np


def drawn(path):
    """The pixels of a figure `[height, width, 3]`, from 0 to 255, and how many colors it has."""
    pixels = (matplotlib.image.imread(path)[..., :3] * 255).round().astype(np.uint32)
    # One number a color: to sort rows of three takes many seconds.
    return pixels, len(np.unique(pixels @ np.array([1, 256, 65536], np.uint32)))
