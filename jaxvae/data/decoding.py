"""A folder of image files -> one array for every split, decoded by several threads."""

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from jaxvae.data.cache import create_array
from jaxvae.data.folders import Sorted
from jaxvae.data.pictures import Header, PictureError, header_of, picture
from jaxvae.data.reading import reading
from jaxvae.data.resize import resize_values
from jaxvae.data.values import Extremes, whole_of

_THREADS = min(32, (os.cpu_count() or 1) + 1)
# Files at a time: those of a batch are in memory together, resized.
_BATCH = 256
_NAMED = 3

_Read = TypeVar("_Read")


class Decoded(NamedTuple):
    """The images of a folder.

    Attributes:
        arrays: `[n, h, w, c]` by split, memory-mapped, as deep as the files, or float32 where
            any were resized.
        dtype: type of the pixels in the files.
        files: the file of every image, by split.
        extremes: extremes of the pixels by split, before any were resized.
        fingerprint: fingerprint of names, contents and sizes: the same images have the same one.
        sizes: in words.
        remarks: what was done to some of them.
    """

    arrays: dict[str, np.ndarray]
    dtype: np.dtype
    files: dict[str, list[str]]
    extremes: dict[str, Extremes]
    fingerprint: str
    sizes: str
    remarks: list[str]


def decode(source: Path, chosen: Sorted, directory: Path, *, image_size: int | None) -> Decoded:
    """Decode the files of a folder into `.npy` files.

    Args:
        source: the folder.
        chosen: its images.
        directory: where the arrays go.
        image_size: pixels along each side to resize to, or None for the sizes as they are.

    Raises:
        ValueError: for files that give no image, all of them counted and the first named,
            images of several sizes without `image_size`, and of several depths.
        OSError: for files that cannot be read, and where nothing can be written.
    """
    names = [name for inside in chosen.splits.values() for name in inside]
    with _threads() as pool, warnings.catch_warnings():
        # Of the libraries, on metadata that nothing here needs.
        warnings.simplefilter("ignore")
        heads = _headers(pool, source, names)
        height, width = _size(heads, source, image_size)
        dtype = _depth(heads, source)
        resized = {(each.height, each.width) for each in heads.values()} != {(height, width)}
        # The range of the whole set is not known yet: rounding here would leave few levels.
        stored = np.dtype(np.float32) if resized else dtype
        channels = max(head.channels for head in heads.values())
        content, arrays, files, extremes = hashlib.sha256(), {}, {}, {}
        done = Counter(remark for head in heads.values() for remark in head.remarks)
        with reading(str(source), len(names)) as advance:
            for split, inside in chosen.splits.items():
                files[split] = [name for name in inside for _ in range(heads[name].pages)]
                path = directory / f"decoded_{split}.npy"
                append = create_array(path, (len(files[split]), height, width, channels), stored)
                pictures = []
                one = partial(_one, source, channels=channels, size=image_size, dtype=stored)
                for name, read in _each(pool, one, inside, "decode", source):
                    append(read.pixels)
                    pictures.append(read.extremes)
                    done.update(read.remarks)
                    content.update(f"{split}/{name}\0{read.fingerprint}\0".encode(errors="replace"))
                    advance(1)
                arrays[split], extremes[split] = np.load(path, mmap_mode="r"), whole_of(pictures)
    sizes = _sizes_in_words(heads.values(), image_size)
    return Decoded(
        arrays,
        dtype,
        files,
        extremes,
        content.hexdigest(),
        sizes,
        _remarks(done, heads.values(), channels),
    )


class _One(NamedTuple):
    """The contents of a file: `[pages, h, w, c]`, its extremes, remarks, a hash of its bytes."""

    pixels: np.ndarray
    extremes: Extremes
    remarks: tuple[str, ...]
    fingerprint: str


def _one(source: Path, name: str, *, channels: int, size: int | None, dtype: np.dtype) -> _One:
    path = source / name
    content = path.read_bytes()
    pixels, remarks = picture(content, path)
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise PictureError("its pixels hold NaN or infinity")
    extremes = Extremes(float(pixels.min()), float(pixels.max()))
    if size is not None and pixels.shape[1:3] != (size, size):
        pixels = resize_values(pixels.astype(np.float32), size=size)
    pixels = pixels.astype(dtype, copy=False)
    full = np.broadcast_to(pixels, (*pixels.shape[:-1], channels))
    return _One(full, extremes, remarks, hashlib.sha256(content).hexdigest())


def _headers(pool: ThreadPoolExecutor, source: Path, names: Sequence[str]) -> dict[str, Header]:
    with reading(str(source), len(names), what="looking through") as advance:
        headers = {}
        for name, head in _each(pool, lambda name: header_of(source / name), names, "read", source):
            headers[name] = head
            advance(1)
    return headers


def _each(
    pool: ThreadPoolExecutor,
    read: Callable[[str], _Read],
    names: Iterable[str],
    verb: str,
    source: Path,
) -> Iterator[tuple[str, _Read]]:
    """The contents of every file, in order; all files that fail are counted first.

    Raises:
        ValueError: at the end, for files that give no image.
    """

    def attempt(name: str) -> tuple[str, _Read | None, str]:
        try:
            return name, read(name), ""
        except PictureError as error:
            return name, None, str(error)

    failed, waiting = [], iter(names)
    while batch := list(islice(waiting, _BATCH)):
        for name, one, why in pool.map(attempt, batch):
            if one is None:
                failed.append(f"{name}: {why}")
            elif not failed:
                yield name, one
    if failed:
        listed = "; ".join(failed[:_NAMED]) + "; ..." * (len(failed) > _NAMED)
        raise ValueError(
            f"expected images in {source}, could not {verb} {len(failed):,} of them: {listed}. "
            "Repair these files, or move them elsewhere"
        )


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """Threads, none of which goes on with what is waiting after an error or Ctrl-C."""
    pool = ThreadPoolExecutor(_THREADS)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _size(heads: dict[str, Header], source: Path, image_size: int | None) -> tuple[int, int]:
    if image_size is not None:
        return image_size, image_size
    sizes = {(head.height, head.width) for head in heads.values()}
    if len(sizes) > 1:
        raise ValueError(
            f"expected image_size for {source}, whose {len(heads):,} images have {len(sizes):,} "
            f"sizes, {_range(heads.values())}: give the pixels along each side to resize to"
        )
    return next(iter(sizes))


def _depth(heads: dict[str, Header], source: Path) -> np.dtype:
    first: dict[np.dtype, str] = {}
    for name, head in heads.items():
        first.setdefault(head.dtype, name)
    if len(first) > 1:
        listed = ", ".join(f"{dtype} as {name}" for dtype, name in first.items())
        raise ValueError(
            f"expected pixels of one type in {source}, got {listed}; what is black and white is "
            "said for a set as a whole: convert some, or keep them in two folders"
        )
    return next(iter(first))


def _sizes_in_words(heads: Iterable[Header], image_size: int | None) -> str:
    heads = list(heads)
    shapes = {(head.height, head.width) for head in heads}
    if image_size is None or shapes == {(image_size, image_size)}:
        return ""
    square = all(height == width for height, width in shapes)
    return f"resized from {_range(heads)}{'' if square else ', stretched to squares'}"


def _range(heads: Iterable[Header]) -> str:
    shapes = sorted({(head.height * head.width, head.height, head.width) for head in heads})
    (_, *small), (_, *large) = shapes[0], shapes[-1]
    words = [" x ".join(map(str, size)) for size in (small, large)]
    return words[0] if len(shapes) == 1 else f"{words[0]} to {words[1]} pixels"


def _remarks(done: Counter[str], heads: Iterable[Header], channels: int) -> list[str]:
    heads = list(heads)
    remarks = [f"{count:,} {remark}" for remark, count in done.items()]
    gray = sum(head.channels < channels for head in heads)
    several = [head.pages for head in heads if head.pages > 1]
    if gray:
        remarks.append(f"{gray:,} gray made color")
    if several:
        remarks.append(f"{len(several):,} files of several pages, {sum(several):,} images")
    return remarks
