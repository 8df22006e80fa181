"""The images of a run: black and white where asked for, and known again by what they are."""

import tracemalloc

import numpy as np

from jaxvae.data.dataset import Split
from jaxvae.runs.images import _binarized


def test_images_are_made_black_and_white_in_twice_their_memory():
    images = np.random.default_rng(0).integers(0, 256, (100, 100, 100, 1), dtype=np.uint8)
    tracemalloc.start()
    found = _binarized(Split(images, None, {})).images
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found == 255, images > 127.5)
    assert np.unique(found).tolist() == [0, 255]
    # Which pixels are white, and the images themselves.
    assert most < 2.5 * images.nbytes
