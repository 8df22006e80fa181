"""Your own images, in a folder or in arrays, as a cached entry of bytes.

What a path holds is looked at anew every time: names, sizes and times of change of its files are in
the key of the entry. What they say is in its fingerprint, which another copy shares.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvae.data.cache import Entry, Kept, create_array, fetch
from jaxvae.data.decoding import decode, resized_in_words
from jaxvae.data.folders import File, Sorted, empty_held_out, files_below, sort_images
from jaxvae.data.holdout import held_out_tenth, remarks_on_copies
from jaxvae.data.labels import Labels, number_labels
from jaxvae.data.layouts import layout_of
from jaxvae.data.pictures import TIFF
from jaxvae.data.reading import reading, say
from jaxvae.data.resize import resize_values
from jaxvae.data.stores import Stored, is_store, open_store, read_stored
from jaxvae.data.values import (
    Extremes,
    Scale,
    extremes_of,
    remarks_on,
    scale_of,
    to_bytes,
    whole_of,
)
from jaxvae.files.words import first_few

_LAYOUT = 4  # to be raised when the same images would be cached as other bytes
_BLOCK_BYTES = 1 << 25
# How the keys of entries begin.
_OWN = "own-"


class Wishes(NamedTuple):
    """The settings of `jaxvae.data.load` that say how images are read."""

    image_size: int | None
    image_key: str | None
    split: str | None
    value_range: tuple[float, float] | None

    @property
    def asked(self) -> str:
        """Those given that a fingerprint depends on, in words: all but the range of values."""
        given = self._replace(value_range=None)._asdict()
        return ", ".join(f"{name}={each}" for name, each in given.items() if each is not None)


class _Contents(NamedTuple):
    """Images as they are in a folder or in arrays, before they are read.

    Attributes:
        arrays: `[n, h, w, c]` by split, `train` and `test` or `all`, of one type.
        dtype: type of the pixels before any were resized.
        labels: labels of the same splits.
        extremes: extremes of the pixels by split, before any were resized.
        content: a hash of all that is in them.
        words: what was done to layout and sizes.
        remarks: what else there is to say.
    """

    arrays: dict[str, np.ndarray]
    dtype: np.dtype
    labels: Labels
    extremes: dict[str, Extremes]
    content: Any
    words: list[str]
    remarks: list[str]


def fetch_own(path: Path, wishes: Wishes) -> Entry:
    """The entry of the cache with the images of a path, made first where they are new.

    Its arrays are `train_images`, `test_images` and their `_values`, its metadata `columns`,
    `label_names`, `fingerprint`, `said`, which is printed once a process, and for `is_of_use`
    `path` and `wishes`.

    Raises:
        ValueError: for what cannot be understood without a guess; says what to do.
        OSError: for what cannot be read, and where the cache cannot be written.
    """
    files = _files(path)
    chosen: Sorted | Stored
    if is_store(path):
        chosen = open_store(path, image_key=wishes.image_key, split=wishes.split)
    elif path.is_dir() or path.suffix.lower() in TIFF:
        if wishes.image_key is not None:
            raise ValueError(
                f"expected no image_key for {path}, of image files, got {wishes.image_key}"
            )
        chosen = sort_images(files, wishes.split, str(path))
    else:
        raise ValueError(
            f"expected images in {path}, got a file: give a folder of images, a TIFF of several "
            "pages, a .npy, a .npz or a zarr"
        )
    if isinstance(chosen, Stored):
        _refuse_unusable(chosen, wishes.image_size, str(path))
    build = partial(_build, source=path, chosen=chosen, wishes=wishes, files=files)
    entry = fetch(_key(path, wishes, files), build)
    say(f"{path}: {entry.metadata['said']}")
    if isinstance(chosen, Sorted) and path.is_dir() and wishes.split is None:
        # Empty folders come and go without a change of the images.
        for folder in empty_held_out(path, chosen.splits.get("all", [])):
            say(f"{path}: {folder} holds no images")
    return entry


def is_of_use(entry: Kept) -> bool:
    """Whether images could be asked for of which an entry was made: no others have its key.

    It is none of use where images of a path are gone, have changed, or their path is not known.
    """
    if not entry.folder.name.startswith(_OWN):
        return True
    try:
        path, wishes = Path(entry.metadata["path"]), Wishes(*entry.metadata["wishes"])
        return entry.folder.name.endswith(_digest(path, wishes, _files(path)))
    except (ValueError, KeyError, TypeError, FileNotFoundError):
        return False
    except OSError:
        # A disk that cannot be read may be read again.
        return True


def _files(path: Path) -> list[File]:
    """All files that the images depend on: the metadata of a store may have hidden names."""
    return files_below(path, hidden=is_store(path))


def _refuse_unusable(chosen: Stored, image_size: int | None, what: str) -> None:
    """Refuse arrays that are no images, before anything is read."""
    arrays = chosen.images
    shapes = {
        split: layout_of(each.shape, what).arranged_shape(each.shape)
        for split, each in arrays.items()
    }
    listed = " and ".join(f"{each.dtype} {list(each.shape)}" for each in arrays.values())
    if any(each.dtype.kind not in "buif" for each in arrays.values()):
        raise ValueError(f"expected real pixels in {what}, got {listed}")
    if len({(shape[3], arrays[split].dtype) for split, shape in shapes.items()}) > 1:
        raise ValueError(f"expected images of one shape and type in {what}, got {listed}")
    if image_size is None and len({shape[1:] for shape in shapes.values()}) > 1:
        raise ValueError(
            f"expected image_size for {what}, whose splits are {listed}: give the pixels along "
            "each side to resize to"
        )
    if "all" in shapes:
        held_out_tenth(shapes["all"][0], what)
    if not all(math.prod(shape) for shape in shapes.values()):
        advice = "" if "all" in shapes else "; split=NAME takes one alone and holds a tenth out"
        raise ValueError(f"expected images in every split of {what}, got {listed}{advice}")


def _key(path: Path, wishes: Wishes, files: list[File]) -> str:
    stem = re.sub(r"[^A-Za-z0-9]+", "-", path.stem)[:40]
    return f"{_OWN}{stem}-{_digest(path, wishes, files)}"


def _digest(path: Path, wishes: Wishes, files: list[File]) -> str:
    request = json.dumps([str(path.resolve()), wishes, files, _LAYOUT]).encode()
    return hashlib.sha256(request).hexdigest()[:16]


def _build(
    directory: Path, *, source: Path, chosen: Sorted | Stored, wishes: Wishes, files: list[File]
) -> dict[str, Any]:
    what, size = str(source), wishes.image_size
    if isinstance(chosen, Stored):
        contents = _of_arrays(source, chosen, size)
    else:
        contents = _of_files(source, chosen, directory, size)
    scale = scale_of(contents.dtype, whole_of(contents.extremes.values()), wishes.value_range, what)
    parts, held_out = _parts(contents.arrays, what)
    _write(directory, contents, parts, scale=scale, size=size, what=what)
    if _files(source) != files:
        raise ValueError(
            f"expected {what} to stay as it is while it is read, got files that changed meanwhile"
        )
    for path in directory.glob("decoded_*.npy"):
        path.unlink()
    for labels in contents.labels.numbers.values():
        contents.content.update(labels.tobytes())
    contents.content.update(json.dumps(contents.labels.names).encode())
    train, test = (
        np.load(directory / f"{part}_images.npy", mmap_mode="r") for part in ("train", "test")
    )
    return {
        "columns": ["label"] if contents.labels.numbers else [],
        "label_names": list(contents.labels.names),
        "fingerprint": contents.content.hexdigest()[:16],
        "path": str(source.absolute()),
        "wishes": wishes,
        "said": "; ".join(_words(contents, train, test, scale, held_out)),
    }


def _of_files(path: Path, chosen: Sorted, directory: Path, size: int | None) -> _Contents:
    folder = path if path.is_dir() else path.parent
    decoded = decode(folder, chosen, directory, image_size=size)
    texts = {
        split: np.array([chosen.labels[name] for name in names])
        for split, names in decoded.files.items()
        if chosen.labels
    }
    counts = {split: len(names) for split, names in decoded.files.items()}
    content = hashlib.sha256(decoded.fingerprint.encode())
    for split, array in decoded.arrays.items():
        content.update(_described(split, array))
    return _Contents(
        decoded.arrays,
        decoded.dtype,
        number_labels(texts, counts, str(path)),
        decoded.extremes,
        content,
        [decoded.sizes] if decoded.sizes else [],
        [*decoded.remarks, *chosen.remarks],
    )


def _of_arrays(path: Path, chosen: Stored, size: int | None) -> _Contents:
    arrays = read_stored(chosen.images, path)
    counts = {split: len(array) for split, array in arrays.items()}
    labels = number_labels(read_stored(chosen.labels, path), counts, str(path))
    content = hashlib.sha256()
    extremes = {
        split: extremes_of(
            _hashed(split, array, content), str(path) if split == "all" else f"{split} of {path}"
        )
        for split, array in arrays.items()
    }
    layouts = {split: layout_of(array.shape, str(path)) for split, array in arrays.items()}
    arranged = {split: layouts[split].arranged(array) for split, array in arrays.items()}
    words = [layout.words for layout in layouts.values() if layout.words][:1]
    resized = resized_in_words([array.shape[1:3] for array in arranged.values()], size)
    words += [resized] if resized else []
    remarks = [*chosen.remarks, *([labels.remark] if labels.remark else [])]
    dtype = next(iter(arranged.values())).dtype
    return _Contents(arranged, dtype, labels, extremes, content, words, remarks)


def _write(
    directory: Path,
    contents: _Contents,
    parts: Mapping[str, tuple[str, np.ndarray]],
    *,
    scale: Scale,
    size: int | None,
    what: str,
) -> None:
    """The images and labels of every part, as bytes of the size asked for."""
    with reading(what, sum(len(order) for _, order in parts.values()), what="writing") as advance:
        for part, (split, order) in parts.items():
            array = contents.arrays[split]
            height, width, channels = array.shape[1:]
            shape = (len(order), size or height, size or width, channels)
            append = create_array(directory / f"{part}_images.npy", shape, np.dtype(np.uint8))
            for rows in np.array_split(order, _blocks(array)):
                block = array[rows]
                if size is not None and (height, width) != (size, size):
                    block = resize_values(block.astype(np.float32), size=size)
                append(to_bytes(block, scale))
                advance(len(rows))
            _write_labels(directory / f"{part}_values.npy", contents.labels, split, order)


def _words(
    contents: _Contents, train: np.ndarray, test: np.ndarray, scale: Scale, held_out: str
) -> list[str]:
    """Sentences that say how a path was read, and became images as bytes."""
    _, height, width, channels = train.shape
    peaks = np.concatenate([images.max(axis=(1, 2, 3)) for images in (train, test)])
    return [
        f"{len(peaks):,} images, {height} x {width}, "
        f"{'gray' if channels == 1 else 'color'}, {scale.words}",
        *contents.words,
        f"{len(test):,} held out, {held_out}",
        _labels_in_words(contents.labels),
        *contents.remarks,
        *remarks_on(scale, contents.extremes, peaks),
        *remarks_on_copies(train, test),
    ]


def _parts(
    arrays: Mapping[str, np.ndarray], what: str
) -> tuple[dict[str, tuple[str, np.ndarray]], str]:
    """The split and the indices of the images of each part, and how they were chosen."""
    if "all" in arrays:
        fit, held_out = held_out_tenth(len(arrays["all"]), what)
        return {"train": ("all", fit), "test": ("all", held_out)}, "a tenth"
    # Files come by their folders: the first so many would be of one class.
    orders = {
        split: np.random.RandomState(0).permutation(len(array)) for split, array in arrays.items()
    }
    return {split: (split, order) for split, order in orders.items()}, "its own split"


def _hashed(split: str, array: np.ndarray, content: Any) -> Iterator[np.ndarray]:
    """Blocks of an array, which become part of a hash."""
    content.update(_described(split, array))
    for rows in np.array_split(np.arange(len(array)), _blocks(array)):
        block = array[rows[0] : rows[-1] + 1]
        content.update(np.ascontiguousarray(block).data)
        yield block


def _described(split: str, array: np.ndarray) -> bytes:
    return f"{split} {array.dtype.str} {array.shape}".encode()


def _blocks(array: np.ndarray) -> int:
    return max(1, min(len(array), -(-array.nbytes // _BLOCK_BYTES)))


def _write_labels(path: Path, labels: Labels, split: str, order: np.ndarray) -> None:
    none = np.zeros((len(order), 0), np.int64)
    values = labels.numbers[split][order, None] if labels.numbers else none
    create_array(path, values.shape, values.dtype)(values)


def _labels_in_words(labels: Labels) -> str:
    if not labels.numbers:
        return "no labels"
    classes = np.unique(np.concatenate(list(labels.numbers.values())))
    names = [labels.names[each] if labels.names else str(each) for each in classes]
    alike = _alike(labels.names)
    doubt = f", of which {alike} differ only in capital letters" if alike else ""
    return f"labels of {len(classes):,} classes ({first_few(names)}){doubt}"


def _alike(names: Sequence[str]) -> str:
    """The first names that are one but for capital letters; empty for none."""
    by_letters: dict[str, list[str]] = {}
    for name in names:
        by_letters.setdefault(name.casefold(), []).append(name)
    return " and ".join(next((each for each in by_letters.values() if len(each) > 1), []))
