"""Labels of any kind -> int64 numbers and the names of the classes."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Labels(NamedTuple):
    """The labels of all splits.

    Attributes:
        numbers: int64 `[n]` by split; empty where there are none.
        names: names of the classes 0, 1, ..., empty where they are numbers themselves.
        remark: why there are none, where some were given; else empty.
    """

    numbers: dict[str, np.ndarray]
    names: tuple[str, ...]
    remark: str


def number_labels(given: Mapping[str, np.ndarray], counts: Mapping[str, int], what: str) -> Labels:
    """Labels as numbers: whole ones stay, texts are numbered in alphabetical order.

    Columns of 0 with one 1 in every row are read as the place of that 1. Others, such as real
    numbers, are left out, and that is said.

    Args:
        given: by split, `[n]`, `[n, 1]` or `[n, classes]`; none for no labels.
        counts: images by split.
        what: the set, in words.

    Raises:
        ValueError: for another number of labels than of images.
    """
    for split, labels in given.items():
        if len(labels) != counts[split]:
            raise ValueError(
                f"expected a label for each of {counts[split]:,} images of "
                f"{what if split == 'all' else f'{split} of {what}'}, got {len(labels):,}; if "
                "the array holds no labels, rename it, for example to info, and it is left out"
            )
    flat = {split: _flat(labels) for split, labels in given.items()}
    if not flat or any(labels is None for labels in flat.values()):
        kinds = [f"{labels.dtype} {list(labels.shape)}" for labels in given.values()]
        remark = f"labels left out, which are no classes, but {kinds[0]}" if kinds else ""
        return Labels({}, (), remark)
    present = {split: labels for split, labels in flat.items() if labels is not None}
    if all(labels.dtype.kind in "bui" for labels in present.values()):
        return Labels({split: each.astype(np.int64) for split, each in present.items()}, (), "")
    texts = {split: np.asarray(_texts(labels)) for split, labels in present.items()}
    names, numbers = np.unique(np.concatenate(list(texts.values())), return_inverse=True)
    ends = np.cumsum([len(labels) for labels in texts.values()])[:-1]
    parts = np.split(numbers.astype(np.int64), ends)
    return Labels(dict(zip(texts, parts, strict=True)), tuple(map(str, names)), "")


def _texts(labels: np.ndarray) -> list[str]:
    return [
        each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each)
        for each in labels.tolist()
    ]


def _flat(labels: np.ndarray) -> np.ndarray | None:
    """A class for every image, or None where there is none."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and labels.dtype.kind in "buif":
        one = ((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all()
        labels = labels.argmax(axis=1) if one else labels
    if labels.ndim != 1 or labels.dtype.kind not in "buifUS":
        return None
    if labels.dtype.kind == "f":
        whole = np.isfinite(labels).all() and (labels == np.rint(labels)).all()
        return labels.astype(np.int64) if whole else None
    return labels
