"""A folder of image files -> one array for every split, decoded by several threads."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from jaxvae.data.cache import create_array
from jaxvae.data.folders import Sorted
from jaxvae.data.pictures import Header, Picture, PictureError, header_of, picture
from jaxvae.data.reading import reading
from jaxvae.data.resize import resize_values
from jaxvae.data.values import Extremes, whole_of
from jaxvae.files.words import counted

_MOST_THREADS = 32
# Files at a time: those of a batch are in memory together, resized.
_BATCH = 256
# Files that cannot be read and are named: enough to move all of them at once, as a rule.
_NAMED = 200

T = TypeVar("T")


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
        ValueError: for files that give no image, all of them counted and named, for
            images of several sizes without `image_size`, and of several depths.
        OSError: for files that cannot be read, and where nothing can be written.
    """
    names = [name for inside in chosen.splits.values() for name in inside]
    with _threads() as pool, warnings.catch_warnings():
        # The libraries warn of metadata that nothing here needs.
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
                for name, read in _each(pool, one, inside, source):
                    append(read.pixels)
                    pictures.append(read.extremes)
                    done.update(read.remarks)
                    content.update(f"{split}/{name}\0{read.fingerprint}\0".encode(errors="replace"))
                    advance(1)
                arrays[split], extremes[split] = np.load(path, mmap_mode="r"), whole_of(pictures)
    sizes = resized_in_words([(head.height, head.width) for head in heads.values()], image_size)
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
    content, (pixels, remarks) = _pixels(source, name)
    extremes = Extremes(float(pixels.min()), float(pixels.max()))
    if size is not None and pixels.shape[1:3] != (size, size):
        pixels = resize_values(pixels.astype(np.float32), size=size)
    pixels = pixels.astype(dtype, copy=False)
    full = np.broadcast_to(pixels, (*pixels.shape[:-1], channels))
    return _One(full, extremes, remarks, hashlib.sha256(content).hexdigest())


def _pixels(source: Path, name: str) -> tuple[bytes, Picture]:
    """What is in a file, and the images that it holds."""
    path = source / name
    content = path.read_bytes()
    decoded = picture(content, path)
    if decoded.pixels.dtype.kind == "f" and not np.isfinite(decoded.pixels).all():
        raise PictureError("its pixels hold NaN or infinity")
    return content, decoded


def _headers(pool: ThreadPoolExecutor, source: Path, names: Sequence[str]) -> dict[str, Header]:
    with reading(str(source), len(names), what="looking through") as advance:
        headers = {}
        head_of, pixels_of = lambda name: header_of(source / name), partial(_pixels, source)
        for name, head in _each(pool, head_of, names, source, once_failed=pixels_of):
            headers[name] = head
            advance(1)
    return headers


def _each(
    pool: ThreadPoolExecutor,
    read: Callable[[str], T],
    names: Sequence[str],
    source: Path,
    once_failed: Callable[[str], Any] | None = None,
) -> Iterator[tuple[str, T]]:
    """The contents of every file, in order; all files that fail are counted first.

    Args:
        pool: threads that read.
        read: what is read of a file, by its name.
        names: names of the files.
        source: their folder.
        once_failed: what else would be read of the files. Once one has failed, it is read of all
            others too, so that those are counted that would fail later.

    Raises:
        ValueError: at the end, for files that give no image.
    """

    def attempt(read: Callable[[str], T], name: str) -> tuple[str, T | None, str]:
        try:
            return name, read(name), ""
        except PictureError as error:
            return name, None, str(error)

    def attempts(
        read: Callable[[str], T], names: Iterable[str]
    ) -> Iterator[tuple[str, T | None, str]]:
        waiting = iter(names)
        while batch := list(islice(waiting, _BATCH)):
            yield from pool.map(partial(attempt, read), batch)

    failed: dict[str, str] = {}
    for name, one, why in attempts(read, names):
        if one is None:
            failed[name] = why
        elif not failed:
            yield name, one
    if failed and once_failed is not None:
        others = [name for name in names if name not in failed]
        with reading(str(source), len(others), what="looking for more broken files in") as advance:
            for name, _, why in attempts(once_failed, others):
                if why:
                    failed[name] = why
                advance(1)
    if failed:
        whys = [f"{name}: {failed[name]}" for name in names if name in failed]
        more = [f"and {len(whys) - _NAMED:,} more"] if len(whys) > _NAMED else []
        named = "\n".join([*whys[:_NAMED], *more])
        raise ValueError(
            f"expected images in {source}, could not read {len(failed):,} of them; repair these "
            f"files, or move them elsewhere:\n{named}"
        )


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """Threads, none of which goes on with what is waiting after an error or Ctrl-C."""
    import joblib  # noqa: PLC0415

    pool = ThreadPoolExecutor(min(_MOST_THREADS, joblib.cpu_count() + 1))
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
            f"sizes, {_range(sizes)}: give the pixels along each side to resize to"
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


def resized_in_words(sizes: Iterable[tuple[int, int]], image_size: int | None) -> str:
    """What is done to images of these heights and widths; empty for nothing."""
    shapes = {*sizes}
    if image_size is None or shapes == {(image_size, image_size)}:
        return ""
    square = all(height == width for height, width in shapes)
    several = "sizes of " * (len(shapes) > 1)
    return f"resized from {several}{_range(shapes)}{'' if square else ', stretched to squares'}"


def _range(sizes: Iterable[tuple[int, int]]) -> str:
    shapes = sorted((height * width, height, width) for height, width in {*sizes})
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
        files = counted(len(several), "file")
        remarks.append(f"{files} of several pages, {sum(several):,} images")
    return remarks
