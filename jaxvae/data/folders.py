"""A folder of image files -> which are images, of which split and with which label."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from jaxvae.data.holdout import chosen_splits
from jaxvae.data.pictures import SUFFIXES

_NAMED = 3


class File(NamedTuple):
    """A file below a folder, as it is now.

    Attributes:
        name: its path in the folder.
        size: in bytes.
        changed: when its content and its entry last changed, in nanoseconds.
    """

    name: str
    size: int
    changed: tuple[int, int]


class Sorted(NamedTuple):
    """The image files of a folder.

    Attributes:
        splits: names of files by split: `train` and `test`, or `all`.
        labels: of every file, its subfolder; empty where there are no labels.
        remarks: what was left out, and why.
    """

    splits: dict[str, list[str]]
    labels: dict[str, str]
    remarks: list[str]


def files_below(place: Path) -> list[File]:
    """All visible files below a folder, sorted by name, or the file itself; links are followed.

    Raises:
        OSError: for folders that cannot be read, and links that lead nowhere.
    """
    if not place.is_dir():
        return [_file(place, place.name)]
    found, visited = [], {_identity(place)}
    waiting = [("", place)]
    while waiting:
        inner, folder = waiting.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{inner}{entry.name}"
                if entry.name.startswith(".") or entry.name == "__MACOSX":
                    continue
                if not entry.is_dir():
                    found.append(_file(Path(entry.path), name))
                elif (identity := _identity(Path(entry.path))) not in visited:
                    # A link may lead to a folder above.
                    visited.add(identity)
                    waiting.append((f"{name}/", Path(entry.path)))
    return sorted(found)


def sort_images(files: list[File], split: str | None, what: str) -> Sorted:
    """Which files are images, of which split, and in which subfolder.

    Folders named `train` and `test` (`validation`, `val`, ...), or as `split` says, are splits.
    Where there are several subfolders below, their names are labels. A folder that holds
    one folder and no image is passed over.

    Args:
        files: all of them.
        split: `TRAIN` or `TRAIN/TEST`, folders; None for those that are known by name.
        what: the folder, in words.

    Raises:
        ValueError: without images, and for splits that are not there.
    """
    names = [each.name for each in files if each.name.lower().endswith(SUFFIXES)]
    others = [each.name for each in files if not each.name.lower().endswith(SUFFIXES)]
    if not names:
        raise ValueError(
            f"expected images ({', '.join(SUFFIXES)}) in {what}, found none among "
            f"{len(files):,} files{_listed(others)}"
        )
    remarks = [_left(others, "no images")] if others else []
    root = _root(names) if split is None else ""
    tops = sorted({_top(name, root) for name in names} - {""})
    chosen = chosen_splits(tops, split, what)
    if chosen is None or (chosen[1] is None and split is None and len(tops) > 1):
        splits = {"all": (names, root)}
    else:
        wanted = {"train": chosen[0], "test": chosen[1]}
        splits = {
            ours: ([name for name in names if _top(name, root) == top], f"{root}{top}/")
            for ours, top in wanted.items()
            if top is not None
        }
        if chosen[1] is None:
            splits = {"all": splits["train"]}
        outside = [name for name in names if _top(name, root) not in chosen]
        remarks += [_left(outside, f"in neither {chosen[0]} nor {chosen[1]}")] if outside else []
    labels = {name: _top(name, inner) for inside, inner in splits.values() for name in inside}
    if "" in labels.values() or len(set(labels.values())) == 1:
        labels = {}
    return Sorted({split: inside for split, (inside, _) in splits.items()}, labels, remarks)


def _root(names: list[str]) -> str:
    """The folder that all images are in, passing over folders that hold one folder alone."""
    common = os.path.commonpath([os.path.dirname(name) for name in names]) if names else ""
    parts = common.split("/") if common else []
    return "".join(f"{part}/" for part in parts)


def _top(name: str, root: str) -> str:
    """The first folder below another, empty for what is in that itself."""
    folder, _, rest = name.removeprefix(root).partition("/")
    return folder if rest else ""


def _left(names: list[str], why: str) -> str:
    return f"{len(names):,} file{'s' * (len(names) > 1)} left out, {why}{_listed(names)}"


def _listed(names: list[str]) -> str:
    more = ", ..." if len(names) > _NAMED else ""
    return f" ({', '.join(names[:_NAMED])}{more})" if names else ""


def _file(path: Path, name: str) -> File:
    try:
        told = path.stat()
    except FileNotFoundError as error:
        raise ValueError(f"{path}: expected a file, got a link that leads nowhere") from error
    if not stat.S_ISREG(told.st_mode):
        raise ValueError(f"{path}: expected a regular file, got something else; remove it")
    return File(name, told.st_size, (told.st_mtime_ns, told.st_ctime_ns))


def _identity(folder: Path) -> tuple[int, int]:
    told = folder.stat()
    return told.st_dev, told.st_ino
