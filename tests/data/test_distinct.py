"""Images without copies."""

import numpy as np

from jaxvae.data.distinct import first_distinct


def test_the_first_of_equal_images_are_kept_in_order_and_no_more_than_wanted():
    images = np.array([[3, 1], [3, 1], [1, 3], [3, 1], [0, 0]], np.uint8)
    assert first_distinct(images, 5).tolist() == [0, 2, 4]
    assert first_distinct(images, 2).tolist() == [0, 2]
