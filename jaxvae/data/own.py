"""Images of one's own, a folder or arrays, as a cached entry of bytes.

What a path holds is looked at anew every time: names, sizes and times of change of its files are in
the key of the entry. What they say is in its fingerprint, which another copy shares.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvae.data.cache import Entry, create_array, fetch
from jaxvae.data.decoding import decode
from jaxvae.data.folders import File, Sorted, files_below, sort_images
from jaxvae.data.holdout import held_out_tenth
from jaxvae.data.labels import Labels, number_labels
from jaxvae.data.layouts import layout_of
from jaxvae.data.reading import reading
from jaxvae.data.resize import resize_images
from jaxvae.data.stores import Stored, is_store, open_store, read_stored
from jaxvae.data.values import extremes_of, remark_on, scale_of, to_bytes

_LAYOUT = 1  # to be raised when the same images would be cached as other bytes
_BLOCK_BYTES = 1 << 25


class Wishes(NamedTuple):
    """How images are to be read, as `jaxvae.data.load` is told it."""

    image_size: int | None
    image_key: str | None
    split: str | None
    value_range: tuple[float, float] | None


class _Found(NamedTuple):
    """Images as they were found.

    Attributes:
        arrays: by split, `train` and `test` or `all`, of any layout and type.
        labels: of the same splits.
        fingerprint: of all that is in them.
        size: what was done to sizes, in words.
        remarks: what else there is to say.
    """

    arrays: dict[str, np.ndarray]
    labels: Labels
    fingerprint: str
    size: str
    remarks: list[str]


def fetch_own(place: Path, wishes: Wishes) -> Entry:
    """The entry of the cache with the images of a path, made first where they are new.

    Its arrays are `train_images`, `test_images` and their `_values`, its metadata `columns`,
    `label_names`, `fingerprint` and `said`, which is printed once a process.

    Raises:
        ValueError: for what cannot be understood without a guess; says what to do.
        OSError: for what cannot be read, and where the cache cannot be written.
    """
    files = _files(place)
    chosen: Sorted | Stored
    if is_store(place):
        chosen = open_store(place, image_key=wishes.image_key, split=wishes.split)
    elif place.is_dir():
        if wishes.image_key is not None:
            raise ValueError(
                f"expected no image_key for {place}, a folder of image files, got "
                f"{wishes.image_key}"
            )
        chosen = sort_images(files, wishes.split, str(place))
    else:
        raise ValueError(
            f"expected images in {place}, got a file: give a folder of images, a .npy, a .npz or "
            "a zarr"
        )
    if isinstance(chosen, Stored) and "all" in chosen.images:
        # Refused before anything is read.
        held_out_tenth(chosen.images["all"].shape[0], str(place))
    build = partial(_build, place=place, chosen=chosen, wishes=wishes, files=files)
    entry = fetch(_key(place, wishes, files), build)
    _say(f"{place}: {entry.metadata['said']}")
    return entry


def _files(place: Path) -> list[File]:
    """All files that the images depend on: the metadata of a store may have hidden names."""
    return files_below(place, hidden=is_store(place))


@cache
def _say(words: str) -> None:
    """Once a process: what was understood of images is never a secret."""
    print(words, file=sys.stderr)


def _key(place: Path, wishes: Wishes, files: list[File]) -> str:
    told = json.dumps([str(place.resolve()), wishes, files, _LAYOUT]).encode()
    stem = re.sub(r"[^A-Za-z0-9]+", "-", place.stem)[:40]
    return f"own-{stem}-{hashlib.sha256(told).hexdigest()[:16]}"


def _build(
    directory: Path, *, place: Path, chosen: Sorted | Stored, wishes: Wishes, files: list[File]
) -> dict[str, Any]:
    what = str(place)
    if isinstance(chosen, Stored):
        found = _of_arrays(place, chosen, wishes)
    else:
        found = _of_files(place, chosen, directory, wishes)
    layouts = {split: layout_of(array.shape, what) for split, array in found.arrays.items()}
    shapes = {layouts[split].arranged(array[:1]).shape[1:] for split, array in found.arrays.items()}
    dtypes = {array.dtype for array in found.arrays.values()}
    if len(shapes) > 1 or len(dtypes) > 1:
        listed = " and ".join(f"{a.dtype} {list(a.shape)}" for a in found.arrays.values())
        raise ValueError(f"expected images of one shape and type in {what}, got {listed}")
    ((shape,), (dtype,)) = shapes, dtypes
    if dtype.kind not in "buif":
        raise ValueError(f"expected real pixels in {what}, got {dtype}")
    parts, held_out = _parts(found.arrays, what)
    content = hashlib.sha256(found.fingerprint.encode())
    extremes = extremes_of(_hashed(found.arrays, content, isinstance(chosen, Stored)), what)
    scale = scale_of(dtype, extremes, wishes.value_range, what)
    size = wishes.image_size
    height, width, channels = (size or shape[0], size or shape[1], shape[2])
    total = sum(len(order) for _, order in parts.values())
    with reading(what, total, what="writing") as advance:
        for part, (split, order) in parts.items():
            array, layout = found.arrays[split], layouts[split]
            path, full = directory / f"{part}_images.npy", (len(order), height, width, channels)
            append = create_array(path, full, np.dtype(np.uint8))
            for rows in np.array_split(order, _blocks(array)):
                block = to_bytes(layout.arranged(array[rows]), scale)
                append(block if size is None else resize_images(block, size=size))
                advance(len(rows))
            _write_labels(directory / f"{part}_values.npy", found.labels, split, order)
    if _files(place) != files:
        raise ValueError(f"expected {what} to stay as it is while it is read, but files changed")
    for path in directory.glob("decoded_*.npy"):
        path.unlink()
    for labels in found.labels.numbers.values():
        content.update(labels.tobytes())
    resized = found.size or _resized(shape, size)
    words = [layout.words for layout in layouts.values() if layout.words][:1]
    said = [
        f"{total:,} images, {height} x {width}, {'gray' if channels == 1 else 'color'}, "
        f"{scale.words}",
        *words,
        *([resized] if resized else []),
        f"{len(parts['test'][1]):,} held out, {held_out}",
        _labels_in_words(found.labels),
        *found.remarks,
        *remark_on(scale, extremes),
    ]
    content.update(json.dumps(found.labels.names).encode())
    return {
        "columns": ["label"] if found.labels.numbers else [],
        "label_names": list(found.labels.names),
        "fingerprint": content.hexdigest()[:16],
        "said": "; ".join(said),
    }


def _of_files(place: Path, chosen: Sorted, directory: Path, wishes: Wishes) -> _Found:
    decoded = decode(place, chosen, directory, image_size=wishes.image_size)
    texts = {
        split: np.array([chosen.labels[name] for name in names])
        for split, names in decoded.files.items()
        if chosen.labels
    }
    counts = {split: len(names) for split, names in decoded.files.items()}
    labels, remarks = number_labels(texts, counts), [*decoded.remarks, *chosen.remarks]
    return _Found(decoded.arrays, labels, decoded.fingerprint, decoded.sizes, remarks)


def _of_arrays(place: Path, chosen: Stored, wishes: Wishes) -> _Found:
    arrays = read_stored(chosen.images, place)
    counts = {split: len(array) for split, array in arrays.items()}
    labels = number_labels(read_stored(chosen.labels, place), counts)
    remarks = [*chosen.remarks, *([labels.remark] if labels.remark else [])]
    return _Found(arrays, labels, "", "", remarks)


def _parts(
    arrays: Mapping[str, np.ndarray], what: str
) -> tuple[dict[str, tuple[str, np.ndarray]], str]:
    """By part of ours the split and the places of its images, and how they were chosen."""
    if "all" in arrays:
        fit, held_out = held_out_tenth(len(arrays["all"]), what)
        return {"train": ("all", fit), "test": ("all", held_out)}, "a tenth"
    # Files come by their folders: the first so many would be of one class.
    orders = {
        split: np.random.RandomState(0).permutation(len(array)) for split, array in arrays.items()
    }
    return {split: (split, order) for split, order in orders.items()}, "its own split"


def _hashed(
    arrays: Mapping[str, np.ndarray], content: Any, is_own_content: bool
) -> Iterator[np.ndarray]:
    """Blocks of all arrays, which become part of a hash where no files stand for them."""
    for split, array in arrays.items():
        content.update(f"{split} {array.dtype.str} {array.shape}".encode())
        for rows in np.array_split(np.arange(len(array)), _blocks(array)):
            block = array[rows[0] : rows[-1] + 1] if len(rows) else array[:0]
            if is_own_content:
                content.update(np.ascontiguousarray(block).data)
            yield block


def _blocks(array: np.ndarray) -> int:
    return max(1, min(len(array), -(-array.nbytes // _BLOCK_BYTES)))


def _write_labels(path: Path, labels: Labels, split: str, order: np.ndarray) -> None:
    columns = [labels.numbers[split]] if labels.numbers else []
    values = np.stack([column[order] for column in columns], axis=1) if columns else None
    full = np.zeros((len(order), 0), np.int64) if values is None else values
    create_array(path, full.shape, full.dtype)(full)


def _labels_in_words(labels: Labels) -> str:
    if not labels.numbers:
        return "no labels"
    every = np.concatenate(list(labels.numbers.values()))
    return f"labels of {len(np.unique(every)):,} classes"


def _resized(shape: tuple[int, ...], size: int | None) -> str:
    if size is None or shape[:2] == (size, size):
        return ""
    stretched = "" if shape[0] == shape[1] else ", stretched to squares"
    return f"resized from {shape[0]} x {shape[1]}{stretched}"
