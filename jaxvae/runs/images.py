"""The images of a run, as its settings ask for them."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.data import Dataset, load
from jaxvae.data.dataset import Split
from jaxvae.runs.config import IMAGES, RunConfig

# The middle of the range of a byte: what is above becomes white.
_MIDDLE = 127


def dataset_of(config: RunConfig, *, test_size: int | None = None) -> Dataset:
    """The data set of a run, black and white where it asks for that; the same object every time.

    Args:
        config: configuration of the run.
        test_size: held-out images; None for all.

    Raises:
        ValueError: as `jaxvae.data.load`.
    """
    asked = {
        "image_size": config.image_size,
        "image_key": config.image_key,
        "split": config.split,
        "value_range": _ends(config.value_range),
        "train_size": config.train_size,
        "test_size": test_size,
    }
    return _loaded(config.data, config.binarize, **asked)


def known_images(
    file: Path, stored: Mapping[str, Any], datasets: Iterable[Dataset]
) -> dict[str, dict[str, Any]]:
    """The images that the results of a folder are made of, for its settings.

    Args:
        file: file of the settings.
        stored: what is in it.
        datasets: data sets that are used now.

    Returns:
        By name and how they were asked for, also of sets that are not used now, fingerprint and
        numbers of images.

    Raises:
        ValueError: where images have changed since; names them.
    """
    known = dict(stored.get(IMAGES) or {})
    for data in datasets:
        now: dict[str, Any] = {"fingerprint": data.fingerprint}
        now |= {"train": len(data.train.images), "test": len(data.test.images)}
        if have_changed(stored, data):
            then = _then(stored, data)
            counts = [f"{each['train']:,} + {each['test']:,}" for each in (then, now)]
            raise ValueError(
                f"expected the images of {data.name} that the results in {file.parent} were made "
                f"of, got others: it has changed since ({counts[0]} images for training and held "
                f"out then, {counts[1]} now). Put it back as it was, or choose another --out"
            )
        if data.fingerprint:
            known.setdefault(_key(data), now)
    return known


def have_changed(stored: Mapping[str, Any], data: Dataset) -> bool:
    """Whether the images of results were others, as far as their settings know."""
    then = _then(stored, data)
    return bool(then and data.fingerprint and then["fingerprint"] != data.fingerprint)


def _then(stored: Mapping[str, Any], data: Dataset) -> dict[str, Any]:
    """What the settings of results know of the images; nothing where they were made of others."""
    known = stored.get(IMAGES) or {}
    # Earlier versions kept them by their name alone.
    return known.get(_key(data)) or known.get(data.name) or {}


def _key(data: Dataset) -> str:
    return f"{data.name} ({data.asked})" if data.asked else data.name


def _ends(value_range: Any) -> tuple[float, float] | None:
    """Two numbers of a setting.

    Raises:
        ValueError: for more or less.
    """
    if value_range is None:
        return None
    low, high = value_range
    return float(low), float(high)


@cache
def _loaded(data: str, binarize: bool, **asked: Any) -> Dataset:
    dataset = load(data, **asked)
    if not binarize:
        return dataset
    return dataset._replace(train=_binarized(dataset.train), test=_binarized(dataset.test))


def _binarized(split: Split) -> Split:
    white = split.images > _MIDDLE
    return split._replace(images=np.where(white, np.uint8(255), np.uint8(0)))
