"""Data sets by name."""

import difflib
import os
from functools import partial
from pathlib import Path

import numpy as np

from jaxvae.data.cache import Entry, fetch
from jaxvae.data.dataset import Dataset, Split
from jaxvae.data.prepared import (
    OWN_NAMES,
    Prepared,
    data_directory,
    find_prepared,
    preparation,
    prepared_names,
)
from jaxvae.data.tfds import Part, close_names, write_arrays

_LAYOUT = 2  # to be raised when the same set would be cached as other arrays
_LARGEST_HOLD_OUT = 10_000
_FACTOR = "label_"
_HELD_OUT = ("test", "validation", "val", "valid", "dev", "eval")


def load(
    name: str,
    *,
    image_size: int | None = None,
    train_size: int | None = None,
    test_size: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Dataset:
    """The data set of this name, as uint8 arrays.

    `sprites` is rendered on the spot. Every other name is that of an image set that
    TensorFlow Datasets has prepared on disk, in its newest version there; it is decoded
    once, in full, and then read from the cache (`JAXVAE_CACHE_DIR`, else
    `$XDG_CACHE_HOME/jaxvae`, else `~/.cache/jaxvae`), memory-mapped. `cars3d`, which TFDS
    lacks, is prepared by `python -m jaxvae.data.cars3d`.

    Images are the feature `image`, or the only one that holds images; labels the feature
    `label`, of which texts are numbered as they come. Factors are the integer
    features `label_*`, without that prefix, in alphabetical order. Images of a set that
    only holds the values 0 and 1, such as `dsprites`, are given as 0 and 255, so that
    division by 255 always leads to [0, 1].

    The order is that of `tfds.data_source`: the order in which TFDS wrote the examples,
    which it shuffles in the same way every time, for most sets. Without a split `test`,
    `validation` (`val`, `valid`, `dev`, `eval`) is the test split. With none of them, the
    examples are put into the order of `numpy.random.RandomState(0).permutation(n)`; the first
    tenth of it, at most 10,000, is the test split and the rest is the train split.

    Args:
        name: `sprites`, `cars3d`, or a TFDS name: `mnist`, `name/config`, either with `:version`.
        image_size: pixels along each side to resize to, bilinear and antialiased; None
            for the images as they are.
        train_size: keep the first so many train examples; None for all of them (for
            `sprites`, its default).
        test_size: the same for the test split.
        data_dir: where TFDS has prepared its sets; None for `TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.

    Returns:
        The train and the test split.

    Raises:
        ValueError: if there is no such set, if it is not prepared (the message says how to
            do it), if it has no uint8 images or images of varying size and no
            `image_size`, if it is too small to hold anything out, or if a size is not
            positive or larger than the split.
        OSError: if the cache cannot be written.
    """
    given = {"image_size": image_size, "train_size": train_size, "test_size": test_size}
    sizes = {argument: size for argument, size in given.items() if size is not None}
    for argument, size in sizes.items():
        if size < 1:
            raise ValueError(f"expected a positive {argument}, got {size}")
    if name == "sprites":
        # Rendering imports JAX, which reading arrays does without.
        from jaxvae.data.sprites import load_sprites  # noqa: PLC0415

        return load_sprites(**sizes)
    directory = data_directory(data_dir)
    prepared = find_prepared(name, directory)
    if prepared is None:
        raise _refusal(name, directory)
    parts = _parts(prepared)
    for part in ("train", "test"):
        _check_size(prepared, part, len(parts[part].indices), sizes.get(f"{part}_size"))
    build = partial(write_arrays, prepared=prepared, parts=parts, image_size=image_size)
    entry = fetch(_key(prepared, image_size), build)
    return Dataset(
        train=_split(entry, "train", train_size),
        test=_split(entry, "test", test_size),
        name=name,
        label_names=tuple(entry.metadata["label_names"]),
    )


def dataset_names(data_dir: str | os.PathLike[str] | None = None) -> tuple[str, ...]:
    """The names that `load` can read here: `sprites`, and the sets that TFDS has prepared.

    Args:
        data_dir: as for `load`.
    """
    return ("sprites", *prepared_names(data_directory(data_dir)))


def _refusal(name: str, directory: Path) -> ValueError:
    """Why there is no such set, and what to do."""
    known, close = close_names(name)
    close = difflib.get_close_matches(name, OWN_NAMES) + close
    if known or name.partition(":")[0] in OWN_NAMES:
        return ValueError(
            f"expected {name!r} prepared under {directory}, got nothing there; "
            f"prepare it once:\n{preparation(name, directory)}"
        )
    choices = ", ".join(dataset_names(directory))
    hint = f" Close to it: {', '.join(close)}." if close else ""
    return ValueError(
        f"expected one of {choices} (sprites, and what is prepared under {directory}) or the "
        f"name of any other image set of TensorFlow Datasets once prepared, got {name!r}.{hint}"
    )


def _parts(prepared: Prepared) -> dict[str, Part]:
    """Which examples are for training and which for testing."""
    splits = prepared.splits
    fit = next(iter(splits)) if len(splits) == 1 else "train"
    if fit not in splits:
        raise ValueError(f"expected a split 'train' in {prepared.name!r}, got {list(splits)}")
    held_out = [split for split in _HELD_OUT if split in splits and split != fit]
    if held_out:
        return {
            "train": Part(fit, np.arange(splits[fit])),
            "test": Part(held_out[0], np.arange(splits[held_out[0]])),
        }
    # RandomState, unlike Generator, promises the same numbers in every version of NumPy.
    order = np.random.RandomState(0).permutation(splits[fit])
    count = min(len(order) // 10, _LARGEST_HOLD_OUT)
    if count == 0:
        raise ValueError(
            f"expected at least 10 images in {prepared.name!r}, a tenth of which is held out, or "
            f"a split for testing ({', '.join(_HELD_OUT)}); got {len(order)} in {fit!r} alone"
        )
    return {"train": Part(fit, order[count:]), "test": Part(fit, order[:count])}


def _check_size(prepared: Prepared, part: str, count: int, size: int | None) -> None:
    if size is not None and size > count:
        raise ValueError(
            f"expected {part}_size at most {count:,} for {prepared.name!r}, got {size:,}"
        )


def _key(prepared: Prepared, image_size: int | None) -> str:
    size = "native" if image_size is None else f"{image_size}x{image_size}"
    name = prepared.name.replace("/", "--")
    return f"{name}-{prepared.version}-{size}-{prepared.fingerprint}-{_LAYOUT}"


def _split(entry: Entry, part: str, size: int | None) -> Split:
    images = entry.arrays[f"{part}_images"][:size]
    values = np.array(entry.arrays[f"{part}_values"][:size])
    levels = dict(zip(entry.metadata["columns"], np.ascontiguousarray(values.T), strict=True))
    labels = levels.pop("label", None)
    factors = {column.removeprefix(_FACTOR): level for column, level in levels.items()}
    return Split(images, labels, factors)
