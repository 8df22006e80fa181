"""The images of a run, as its settings ask for them."""

from functools import cache

import numpy as np

from jaxvae.data import Dataset, load
from jaxvae.data.dataset import Split
from jaxvae.runs.config import RunConfig

# The middle of the range of a byte: what is above becomes white.
_MIDDLE = 127


def dataset_of(config: RunConfig, *, test_size: int | None = None) -> Dataset:
    """The data set of a run, black and white where it asks for that; the same object every time.

    Args:
        config: of the run.
        test_size: held-out images; None for all.

    Raises:
        ValueError: as `jaxvae.data.load`.
    """
    return _loaded(config.data, config.image_size, config.train_size, test_size, config.binarize)


@cache
def _loaded(
    data: str,
    image_size: int | None,
    train_size: int | None,
    test_size: int | None,
    binarize: bool,
) -> Dataset:
    dataset = load(data, image_size=image_size, train_size=train_size, test_size=test_size)
    if not binarize:
        return dataset
    return dataset._replace(train=_binarized(dataset.train), test=_binarized(dataset.test))


def _binarized(split: Split) -> Split:
    return split._replace(images=np.where(split.images > _MIDDLE, 255, 0).astype(np.uint8))
