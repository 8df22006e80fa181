"""Reading a prepared TensorFlow Datasets set into arrays, without TensorFlow.

The only module that imports `tensorflow_datasets`, and only inside functions: the import
takes a second, and a set that is in the cache does without.
"""

import difflib
import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvae.data.cache import Entry, create_array
from jaxvae.data.prepared import (
    FILE_FORMAT,
    Prepared,
    find_prepared,
    preparation,
)
from jaxvae.data.reading import reading
from jaxvae.data.resize import resize_images
from jaxvae.files.refusals import close_to_it

_BATCH = 1000
_BATCH_BYTES = 1 << 25


class Part(NamedTuple):
    """The examples of a TFDS split that make up a split of ours, and their order.

    Attributes:
        split: the name of the TFDS split.
        indices: positions in it, int64 `[n]`.
    """

    split: str
    indices: np.ndarray


class _Source(NamedTuple):
    """A set that is open for reading.

    Attributes:
        read: the examples of a TFDS split at these positions, as dicts of `image` and columns.
        shape: `(h, w, c)` of every image; h and w are None where images differ in size.
        columns: the names of the scalar integer features, sorted, `label` and `label_*`.
        label_names: the names of the classes of `label`, empty where there are none; where
            labels are texts, those read so far.
    """

    read: Callable[[str, list[int]], list[dict[str, Any]]]
    shape: tuple[int | None, int | None, int]
    columns: tuple[str, ...]
    label_names: Iterable[str]


def write_arrays(
    directory: Path,
    prepared: Prepared,
    parts: dict[str, Part],
    *,
    image_size: int | None,
    image_key: str | None = None,
) -> dict[str, Any]:
    """Decode a set into `NAME_images.npy` and `NAME_values.npy` for every part NAME.

    Images are uint8 `[n, h, w, c]`, values int64 `[n, columns]`. Images of a set that
    only holds the values 0 and 1 are written as 0 and 255. Memory holds one batch.

    Args:
        directory: where to write.
        prepared: the set.
        parts: what to write, by name.
        image_size: pixels along each side to resize to, or None for the sizes as they are.
        image_key: the feature that holds the images; None for `image` or the only one.

    Returns:
        `columns`, the feature in each column of the values, and `label_names`.

    Raises:
        ValueError: if the set has no feature `image` of type uint8 and not just one of
            another name, none of the name asked for, or images of varying size and no `image_size`.
        OSError: if the files cannot be written.
    """
    total = sum(len(part.indices) for part in parts.values())
    with quiet_library() as tfds, reading(prepared.name, total) as advance:
        source = _open(tfds, prepared, image_size, image_key)
        first = next(iter(parts.values()))
        examples = source.read(first.split, first.indices[:_BATCH].tolist())
        binary = _peak(examples) <= 1
        # A set that starts with black images may look binary and turn out not to be.
        for scale in (255, 1) if binary else (1, 255):
            write = partial(
                _write_part, source=source, image_size=image_size, scale=scale, advance=advance
            )
            peaks = [write(directory / name, part=part) for name, part in parts.items()]
            if (max(peaks) <= 1) == (scale == 255):
                break
    return {"columns": source.columns, "label_names": tuple(source.label_names)}


def write_resized(directory: Path, whole: Entry, *, name: str, image_size: int) -> dict[str, Any]:
    """`write_arrays` of a set that is decoded already at its own size."""
    images = [key for key in whole.arrays if key.endswith("_images")]
    total = sum(len(whole.arrays[key]) for key in images)
    with reading(name, total, what="resizing") as advance:
        for key, array in whole.arrays.items():
            path, shape = directory / f"{key}.npy", array.shape
            if key not in images:
                create_array(path, shape, array.dtype)(array)
                continue
            append = create_array(path, (len(array), image_size, image_size, shape[3]), array.dtype)
            step = _batch_length(shape[1:])
            for start in range(0, len(array), step):
                some = resize_images(array[start : start + step], size=image_size)
                append(some)
                advance(len(some))
    return whole.metadata


def close_names(name: str) -> tuple[bool, list[str]]:
    """Whether TFDS knows a set of this name, and the names it knows that are close to it.

    Without the network, and without sets whose module cannot be imported here.
    """
    with quiet_library() as tfds:
        try:
            names = tfds.core.registered.list_imported_builders()
        except (AttributeError, ImportError):  # not a documented function
            names = []
    bare = name.partition("/")[0].partition(":")[0]
    return bare in names, difflib.get_close_matches(bare, names)


def prepare(name: str, directory: Path) -> None:
    """Download a set and prepare it as it is read here.

    `tfds build` would do it too, but of TFDS 4.9.10 it imports Apache Beam.

    Raises:
        ValueError: for a name that is none, a set that is prepared already, and without
            TensorFlow; says what to do.
    """
    if name == "sprites" or Path(name).is_absolute():
        raise ValueError(f"expected the name of a set of TensorFlow Datasets, got {name}")
    if find_prepared(name, directory) is not None:
        raise ValueError(
            f"expected a set that is not prepared in {directory}, got {name}, which is"
        )
    known, close = close_names(name)
    if not known:
        raise ValueError(
            f"expected a name that TensorFlow Datasets knows, got {name!r}.{close_to_it(close)}"
        )
    if importlib.util.find_spec("tensorflow") is None:
        raise ValueError(
            f"expected TensorFlow, which preparing a set needs, and nothing else does; install it, "
            f"then prepare:\n{preparation(name, directory)}"
        )
    with quiet_library() as tfds:
        builder = tfds.builder(name, data_dir=str(directory), file_format=FILE_FORMAT)
        builder.download_and_prepare()


@contextmanager
def quiet_library() -> Iterator[Any]:
    """The `tensorflow_datasets` module, with its hints to install more packages kept quiet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow_datasets as tfds  # noqa: PLC0415
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield tfds
    finally:
        logger.setLevel(level)


def _open(tfds: Any, prepared: Prepared, image_size: int | None, image_key: str | None) -> _Source:
    builder = tfds.builder_from_directory(prepared.directory)
    features = builder.info.features
    image = _image_key(features, prepared.name, image_key)
    shape = features[image].shape
    if None in shape and image_size is None:
        raise ValueError(
            f"expected image_size for {prepared.name!r}, whose images vary in size, got None"
        )
    columns = tuple(sorted(key for key in features if _is_level(key, features[key])))
    # Only the wanted features are decoded.
    wanted = tfds.features.FeaturesDict({key: features[key] for key in (image, *columns)})
    raw = builder.as_data_source(
        file_format="array_record",
        deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES,
    )

    def read(split: str, indices: list[int]) -> list[dict[str, Any]]:
        records = raw[split].__getitems__(indices)
        examples = [wanted.deserialize_example_np(record) for record in records]
        return [
            {key: level_of(example[key]) for key in columns} | {"image": example[image]}
            for example in examples
        ]

    names = getattr(features["label"], "names", None) if "label" in columns else None
    texts: dict[str, int] = {}

    def level_of(value: Any) -> int:
        if not isinstance(value, str | bytes):
            return int(value)
        text = value.decode() if isinstance(value, bytes) else value
        return texts.setdefault(text, len(texts))

    return _Source(read, shape, columns, names or texts)


def _image_key(features: Any, name: str, asked: str | None) -> str:
    """The feature that was asked for, `image`, or the only one that could be it."""
    keys = tuple(features) if hasattr(features, "keys") else ()
    images = [key for key in keys if _is_image(features[key])]
    wanted = asked or "image"
    if wanted in images:
        return wanted
    if len(images) == 1 and asked is None:
        return images[0]
    got = features[wanted] if wanted in keys else ", ".join(sorted(images or keys)) or features
    choose = "; choose one with image_key" if len(images) > 1 else ""
    raise ValueError(
        f"expected a feature {wanted!r} of uint8 [height, width, channels] in {name!r}, or only "
        f"one such of another name, got {got}{choose}"
    )


def _is_image(feature: Any) -> bool:
    shape = getattr(feature, "shape", None)
    return (
        isinstance(shape, tuple)
        and len(shape) == 3
        and bool(shape[2])
        and feature.np_dtype == np.uint8
    )


def _is_level(key: str, feature: Any) -> bool:
    """Whether a feature is a class label, also as text, or the level of a factor."""
    if not (key == "label" or key.startswith("label_")) or feature.shape != ():
        return False
    text = np.dtype(feature.np_dtype).kind in "OSU"
    return np.issubdtype(feature.np_dtype, np.integer) or (text and key == "label")


def _write_part(
    path: Path,
    *,
    source: _Source,
    part: Part,
    image_size: int | None,
    scale: int,
    advance: Callable[[int], None],
) -> int:
    """Write the images and the values of one part; return the largest pixel that was read."""
    count, (height, width, channels) = len(part.indices), source.shape
    shape = (count, image_size or height or 0, image_size or width or 0, channels)
    append_images = create_array(Path(f"{path}_images.npy"), shape, np.dtype(np.uint8))
    columns = source.columns
    values = np.zeros((count, len(columns)), np.int64)
    step = _batch_length(source.shape)
    peak = 0
    for start in range(0, count, step):
        examples = source.read(part.split, part.indices[start : start + step].tolist())
        peak = max(peak, _peak(examples))
        append_images(_stack([example["image"] for example in examples], scale, image_size))
        for row, example in enumerate(examples, start):
            values[row] = [example[column] for column in columns]
        advance(len(examples))
    create_array(Path(f"{path}_values.npy"), values.shape, values.dtype)(values)
    return peak


def _batch_length(shape: tuple[int | None, int | None, int]) -> int:
    """The number of examples to hold in memory at once; few where images may be large."""
    image_bytes = (shape[0] or 1024) * (shape[1] or 1024) * shape[2]
    return max(1, min(_BATCH, _BATCH_BYTES // image_bytes))


def _stack(images: list[np.ndarray], scale: int, size: int | None) -> np.ndarray:
    """One uint8 array `[b, h, w, c]` of the images, resized where a size is given."""
    factor = np.uint8(scale)
    if size is None:
        return np.stack(images) * factor
    if len({image.shape for image in images}) == 1:
        return resize_images(np.stack(images) * factor, size=size)
    return np.concatenate([resize_images(image[None] * factor, size=size) for image in images])


def _peak(examples: list[dict[str, Any]]) -> int:
    return max(int(example["image"].max()) for example in examples)
