"""A data set as plain arrays: uint8 images, labels and generative factors."""

from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """One split of a data set, in a fixed order.

    Attributes:
        images: uint8 `[n, h, w, c]`, 0 to 255. May be memory-mapped.
        labels: int64 `[n]`, or None where the set has no class label.
        factors: generative factors by name, each `[n]`; empty where none are known.
    """

    images: np.ndarray
    labels: np.ndarray | None
    factors: dict[str, np.ndarray]


class Dataset(NamedTuple):
    """The train and test splits of a named data set.

    Attributes:
        train: the split to fit on.
        test: the held-out split.
        name: the name that `load` was given.
        label_names: the name of every class, empty where there are none.
        fingerprint: hash of the images, empty for those that are rendered.
        said: a sentence that says how images of your own were read; empty for others.
        asked: the settings of `load` that the fingerprint of images of your own depends on, such as
            `image_size=32`; empty for others.
    """

    train: Split
    test: Split
    name: str
    label_names: tuple[str, ...]
    fingerprint: str = ""
    said: str = ""
    asked: str = ""
