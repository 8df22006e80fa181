"""The meaning of the name of a data set: a path, or a set that is known by its name."""

import difflib
import os
from contextlib import suppress
from pathlib import Path

from jaxvae.data.prepared import data_directory, find_prepared
from jaxvae.files.refusals import close_to_it

_SUFFIXES = (".npy", ".npz", ".zarr", ".tif", ".tiff")


def own_place(name: str, directory: Path) -> Path | None:
    """The path that a name is, or None for the name of a set.

    A name is a path where it begins with `/`, `.` or `~`, ends with `/`, `.npy`, `.npz`,
    `.zarr`, `.tif` or `.tiff`, or where something is there and no set of that name is prepared.

    Args:
        name: as it was given.
        directory: where TFDS has prepared its sets.
    """
    text = os.path.expanduser(name)
    if text.startswith(("/", ".")) or text.lower().endswith(("/", *_SUFFIXES)):
        return Path(text)
    if name == "sprites" or not (name and os.path.exists(text)):
        return None
    with suppress(ValueError):
        if find_prepared(name, directory) is not None:
            return None
    return Path(text)


def refuse_nothing(path: Path) -> None:
    """Refuse a path where nothing is.

    Raises:
        ValueError: with what is near it.
    """
    if path.exists():
        return
    above = next(folder for folder in path.absolute().parents if folder.is_dir())
    missing = path.absolute().relative_to(above).parts[0]
    hint = close_to_it(close_files(missing, above))
    raise ValueError(
        f"expected images in {path}, found nothing there: {above} has no {missing!r}.{hint}"
    )


def refuse_among_images(out: Path, name: str) -> None:
    """Refuse to write results into a folder of images, whose pictures would be read as images.

    Raises:
        ValueError: for a path within the folder; says what to do.
    """
    place = own_place(name, data_directory(None))
    if place is None or not place.is_dir() or not out.resolve().is_relative_to(place.resolve()):
        return
    raise ValueError(
        f"expected a folder for results outside of {place.resolve()}, where their figures would be "
        f"read as images the next time, got {out}; choose another --out, or give the command in "
        "another folder"
    )


def close_files(name: str, folder: Path) -> list[str]:
    """The files of a folder whose names are close to a given one."""
    with suppress(OSError):
        return difflib.get_close_matches(name, sorted(os.listdir(folder)))
    return []
