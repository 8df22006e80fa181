"""Load data sets by their names or paths."""

import difflib
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.data.cache import Entry, fetch, find
from jaxvae.data.dataset import Dataset, Split
from jaxvae.data.holdout import chosen_splits, held_out_tenth
from jaxvae.data.names import close_files, own_place, refuse_nothing
from jaxvae.data.own import Wishes, fetch_own
from jaxvae.data.prepared import (
    OWN_NAMES,
    Prepared,
    data_directory,
    find_prepared,
    preparation,
    prepared_names,
)
from jaxvae.data.reading import say
from jaxvae.data.tfds import Part, close_names, write_arrays, write_resized
from jaxvae.files.refusals import as_count, close_to_it

_LAYOUT = 2  # to be raised when the same set would be cached as other arrays
_FACTOR = "label_"


def load(
    name: str,
    *,
    image_size: int | None = None,
    train_size: int | None = None,
    test_size: int | None = None,
    image_key: str | None = None,
    split: str | None = None,
    value_range: tuple[float, float] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Dataset:
    """The data set of this name, or the images of a path, as uint8 arrays.

    A path is that of a folder of images, a TIFF of several pages, a `.npy`, a `.npz` or a zarr;
    what is read of it, and by which rules, is in `docs/data.md`, and what was understood is
    printed in a sentence.

    `sprites` is rendered on the spot. Every other name is that of an image set that
    TensorFlow Datasets has prepared on disk, in its newest version there; it is decoded
    once, in full, and then read from the cache (`JAXVAE_CACHE_DIR`, else
    `$XDG_CACHE_HOME/jaxvae`, else `~/.cache/jaxvae`), memory-mapped; for another `image_size`
    it is resized from there, where the cache has it at its own size. `cars3d`, which TFDS
    lacks, is prepared by `jaxvae data cars3d --prepare`.

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
        name: `sprites`, `cars3d`, or a TFDS name: `mnist`, `name/config`, either with `:version`;
            or a path, as it begins with `/`, `.` or `~`, ends with `/`, `.npy`, `.npz`, `.zarr`,
            `.tif` or `.tiff`, or is there while no set of that name is prepared.
        image_size: pixels along each side to resize to, bilinear and antialiased; None
            for the images as they are. Images that are not square are stretched.
        train_size: keep the first so many train examples; None for all of them (for
            `sprites`, its default).
        test_size: the same for the test split.
        image_key: the feature of a TFDS set, or the array of a `.npz` or zarr, that holds the
            images; None for the usual names.
        split: the split to train on, `TRAIN`, of which a tenth is held out; or `TRAIN/TEST`, with
            the one to hold out. None for the usual names.
        value_range: the pixels `(low, high)` of a path that become black and white, beyond which
            they are cut off; None to go by the type and the range of all of them.
        data_dir: where TFDS has prepared its sets; None for `TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.

    Returns:
        The train and the test split.

    Raises:
        ValueError: if there is no such set or nothing at the path, if it is not prepared (the
            message says how to do it), if it has no uint8 images or images of varying size and no
            `image_size`, if it is too small to hold anything out, if a size is not
            positive or larger than the split, or if images of a path cannot be understood
            without a guess.
        OSError: if the cache cannot be written, or images cannot be read.
    """
    given = {"image_size": image_size, "train_size": train_size, "test_size": test_size}
    sizes = {
        argument: as_count(
            size, f"expected a positive {argument}, a whole number, got {size!r}", least=1
        )
        for argument, size in given.items()
        if size is not None
    }
    image_size = sizes.get("image_size")
    if value_range is not None:
        low, high = map(float, value_range)
        value_range = low, high
    name, directory = os.fspath(name), data_directory(data_dir)
    own_path = own_place(name, directory)
    if own_path is not None:
        refuse_nothing(own_path)
        wishes = Wishes(image_size, image_key, split, value_range)
        entry = fetch_own(own_path, wishes)
        fingerprint = entry.metadata["fingerprint"]
        return _dataset(name, entry, sizes, fingerprint=fingerprint, asked=wishes.asked)
    if name and os.path.exists(name):
        say(f"{name}: the data set of this name is taken; for the file or folder here, ./{name}")
    if value_range is not None:
        raise ValueError(
            f"expected no value_range for {name!r}, whose pixels are bytes, got {low:g}:{high:g}"
        )
    if name == "sprites":
        # Rendering imports JAX, which reading arrays does without.
        from jaxvae.data.sprites import load_sprites  # noqa: PLC0415

        if (image_key, split) != (None, None):
            raise ValueError(
                f"expected no image_key and no split for sprites, got image_key={image_key}, "
                f"split={split}"
            )
        return load_sprites(**sizes)
    prepared = find_prepared(name, directory)
    if prepared is None:
        raise _refusal(name, directory)
    parts = _parts(prepared, split)
    for part in ("train", "test"):
        _check_size(name, part, len(parts[part].indices), sizes.get(f"{part}_size"))
    key = partial(_key, prepared, image_key=image_key, split=split)

    def build(directory: Path) -> dict[str, Any]:
        whole = None if image_size is None else find(key(None))
        if image_size is None or whole is None:
            return write_arrays(
                directory, prepared, parts, image_size=image_size, image_key=image_key
            )
        return write_resized(directory, whole, name=prepared.name, image_size=image_size)

    entry = fetch(key(image_size), build)
    return _dataset(name, entry, sizes, fingerprint=f"{prepared.version}-{prepared.fingerprint}")


def _dataset(
    name: str, entry: Entry, sizes: dict[str, int], *, fingerprint: str, asked: str = ""
) -> Dataset:
    splits = {}
    for part in ("train", "test"):
        size = sizes.get(f"{part}_size")
        _check_size(name, part, len(entry.arrays[f"{part}_images"]), size)
        splits[part] = _split(entry, part, size)
    return Dataset(
        **splits,
        name=name,
        label_names=tuple(entry.metadata["label_names"]),
        fingerprint=fingerprint,
        said=entry.metadata.get("said", ""),
        asked=asked,
    )


def dataset_names(data_dir: str | os.PathLike[str] | None = None) -> tuple[str, ...]:
    """The names that `load` can read here: `sprites`, and the sets that TFDS has prepared.

    Args:
        data_dir: as for `load`.
    """
    return ("sprites", *prepared_names(data_directory(data_dir)))


def _refusal(name: str, directory: Path) -> ValueError:
    """The message that there is no such data set, with what to do."""
    known, close = close_names(name)
    close = difflib.get_close_matches(name, ("sprites", *OWN_NAMES)) + close
    close += close_files(name, Path())
    if known or name.partition(":")[0] in OWN_NAMES:
        return ValueError(
            f"expected {name!r} prepared under {directory}, got nothing there; "
            f"prepare it once:\n{preparation(name, directory)}"
        )
    choices = ", ".join(dataset_names(directory))
    return ValueError(
        f"expected one of {choices} (sprites, and what is prepared under {directory}) or the "
        f"name of any other image set of TensorFlow Datasets once prepared, or the path of images, "
        f"got {name!r}.{close_to_it(close)}"
    )


def _parts(prepared: Prepared, asked: str | None) -> dict[str, Part]:
    """The examples for training and the examples for testing."""
    splits, what = prepared.splits, repr(prepared.name)
    chosen = chosen_splits(list(splits), asked, what)
    if chosen is None and len(splits) != 1:
        raise ValueError(
            f"expected a split 'train' in {what}, got {list(splits)}; say which with "
            "split=TRAIN/TEST"
        )
    fit, held_out = chosen or (next(iter(splits)), None)
    if held_out:
        parts = {"train": fit, "test": held_out}
        return {part: Part(split, np.arange(splits[split])) for part, split in parts.items()}
    train, test = held_out_tenth(splits[fit], what)
    return {"train": Part(fit, train), "test": Part(fit, test)}


def _check_size(name: str, part: str, count: int, size: int | None) -> None:
    if size is not None and size > count:
        raise ValueError(f"expected {part}_size at most {count:,} for {name!r}, got {size:,}")


def _key(
    prepared: Prepared, image_size: int | None, *, image_key: str | None, split: str | None
) -> str:
    size = "native" if image_size is None else f"{image_size}x{image_size}"
    asked = "".join(f"-{each.replace('/', '--')}" for each in (image_key, split) if each)
    name = prepared.name.replace("/", "--")
    return f"{name}-{prepared.version}-{size}{asked}-{prepared.fingerprint}-{_LAYOUT}"


def _split(entry: Entry, part: str, size: int | None) -> Split:
    images = entry.arrays[f"{part}_images"][:size]
    values = np.array(entry.arrays[f"{part}_values"][:size])
    levels = dict(zip(entry.metadata["columns"], np.ascontiguousarray(values.T), strict=True))
    labels = levels.pop("label", None)
    factors = {column.removeprefix(_FACTOR): level for column, level in levels.items()}
    return Split(images, labels, factors)
