"""`.npy`, `.npz` and zarr -> arrays of images and labels by split, found by their names.

The name of an array is taken apart at `_`, `/`, `-` and `.`: one part may say the split (`train`,
`test`, `val`, ...), another what it holds (`images`, `image`, `x`, `data`; `labels`, `label`, `y`,
`targets`). So `x_train` and `train/images` are known, and `train` alone is of images.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxvae.data.holdout import HELD_OUT, TRAIN, chosen_splits, parts_of
from jaxvae.data.zarr_stores import (
    absent_chunks,
    announced_zarr,
    is_zarr,
    open_zarr,
    other_arrays,
)
from jaxvae.files.numpy_files import (
    Announced,
    announced_file,
    is_npy,
    parsed,
    sorted_members,
)
from jaxvae.memory import refuse_beyond_memory

_IMAGES = ("images", "image", "imgs", "x", "data", "faces", "arr")
_LABELS = ("labels", "label", "y", "targets", "target", "classes", "class")
_SPLITS = (*TRAIN, *HELD_OUT)


class Stored(NamedTuple):
    """The arrays of a store that are used.

    Attributes:
        images: by split: `train` and `test`, or `all`; not in memory where that can be.
        labels: labels of the same splits, empty where there are none.
        remarks: what was left out.
    """

    images: dict[str, Announced]
    labels: dict[str, Announced]
    remarks: list[str]


class _Contents(NamedTuple):
    """The arrays of a store.

    Attributes:
        arrays: arrays of numbers and texts, by name.
        unread: the names of all others, which hold Python objects, or texts in a zarr.
        notes: by the name of an array, what is odd about it.
    """

    arrays: dict[str, Announced]
    unread: list[str]
    notes: dict[str, str]


class _Named(NamedTuple):
    """An array and what its name says: its split, or none, and its other parts."""

    key: str
    split: str
    parts: frozenset[str]
    array: Announced


def is_store(path: Path) -> bool:
    """Whether a path is that of arrays, and not of a folder of images."""
    if path.is_dir():
        return path.suffix.lower() == ".zarr" or is_zarr(path)
    return path.suffix.lower() in (".npy", ".npz", ".zarr")


def open_store(path: Path, *, image_key: str | None, split: str | None) -> Stored:
    """The images and labels of a store, none of which are read.

    Args:
        path: a `.npy`, `.npz` or zarr.
        image_key: the name of the array of images, or its part besides the split; None
            to go by the names.
        split: `TRAIN` or `TRAIN/TEST`, as the names of the arrays have them.

    Raises:
        ValueError: for damage, Python objects, and where the names do not tell which arrays
            are the images.
    """
    with parsed(path):
        arrays, unread, notes = _contents(path)
    extra = frozenset(split.split("/")) if split else frozenset[str]()
    named = [_named(key, array, extra) for key, array in arrays.items()]
    images = _images(named, unread, image_key, path)
    held = {each.split: each for each in images}
    chosen = chosen_splits(sorted(filter(None, held)), split, str(path))
    if chosen is None:
        if len(held) > 1 or "" not in held:
            listed = ", ".join(each.key for each in images)
            raise ValueError(
                f"expected images for training in {path}, got {listed}; say which "
                "with split=TRAIN/TEST"
            )
        wanted = {"all": ""}
    else:
        fit, test = chosen
        wanted = {"all": fit} if test is None else {"train": fit, "test": test}
    used = {ours: held[theirs] for ours, theirs in wanted.items()}
    labels = _labels(named, wanted)
    keys = {each.key for each in (*used.values(), *labels.values())}
    others = sorted(set(arrays) - keys)
    remarks = [notes[key] for key in sorted(keys & set(notes))]
    remarks += [f"left out: {', '.join(others)}"] if others else []
    remarks += [f"left out, no plain arrays: {', '.join(unread)}"] if unread else []
    return Stored(
        {ours: each.array for ours, each in used.items()},
        {ours: each.array for ours, each in labels.items()},
        remarks,
    )


def _contents(path: Path) -> _Contents:
    if path.is_dir():
        opened = open_zarr(path)
        arrays = {name: announced_zarr(array) for name, array in opened.items()}
        notes = {
            name: f"{absent:,} of {total:,} chunks of {name} are not there and read as "
            f"{opened[name].fill_value}"
            for name, (absent, total) in absent_chunks(path).items()
            if absent > 0
        }
        return _Contents(arrays, other_arrays(path), notes)
    if is_npy(path):
        return _Contents({"images": announced_file(path)}, [], {})
    return _Contents(*sorted_members(path, lambda keys: keys), {})


def _named(key: str, array: Announced, extra: frozenset[str]) -> _Named:
    parts = parts_of(key)
    split = next((part for part in parts if part in extra or part.lower() in _SPLITS), "")
    # NumPy names what was given no name arr_0.
    others = frozenset(part.lower() for part in parts if part != split and not part.isdigit())
    return _Named(key, split, others, array)


def _images(
    named: list[_Named], unread: list[str], image_key: str | None, path: Path
) -> list[_Named]:
    """The arrays that hold the images, one a split."""
    if image_key is not None:
        exact = [each for each in named if each.key == image_key]
        wanted = frozenset(parts_of(image_key.lower()))
        chosen = exact or [each for each in named if each.parts == wanted]
        chosen = [each._replace(split="") for each in exact] or chosen
    else:
        pictures = [each for each in named if len(each.array.shape) >= 3]
        chosen = [each for each in pictures if not each.parts or each.parts & {*_IMAGES}]
        chosen = chosen or pictures or [each for each in named if each.parts & {*_IMAGES}]
    if not named and not unread:
        raise ValueError(f"expected arrays in {path}, found none")
    splits = [each.split for each in chosen]
    if not chosen or len(set(splits)) < len(splits):
        listed = [f"{each.key} {list(each.array.shape)}" for each in chosen or named]
        listed += [f"{key}, which is no plain array" for key in unread if not chosen]
        key = "" if image_key is None else f" and image_key={image_key}"
        raise ValueError(
            f"expected one array of images for every split in {path}, got "
            f"{', '.join(listed)}{key}; say which with image_key=NAME"
        )
    return chosen


def _labels(named: list[_Named], wanted: Mapping[str, str]) -> dict[str, _Named]:
    """One array of labels for every split, or none at all; a single number is of no images."""
    labels = {}
    for ours, theirs in wanted.items():
        of_split = [
            each
            for each in named
            if each.split == theirs and each.parts & {*_LABELS} and each.array.shape
        ]
        if len(of_split) != 1:
            return {}
        labels[ours] = of_split[0]
    return labels


def read_stored(arrays: Mapping[str, Announced], path: Path) -> dict[str, np.ndarray]:
    """The arrays themselves; what is on the disk as it is in memory stays there.

    Raises:
        ValueError: for damage, and for more than the memory.
    """
    held = sum(each.held for each in arrays.values())
    refuse_beyond_memory(
        held, f"what it takes to read {path}; a .npy or a folder of images needs none"
    )
    with parsed(path):
        return {split: each.read() for split, each in arrays.items()}
