"""A folder of image files -> which are images, of which split and with which label."""

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxvae.data.holdout import HELD_OUT, TRAIN, chosen_splits, held_out_names, parts_of
from jaxvae.data.pictures import SUFFIXES
from jaxvae.files.words import counted, first_few


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
        labels: labels of every file, its subfolder; empty where there are no labels.
        remarks: what was left out, and why.
    """

    splits: dict[str, list[str]]
    labels: dict[str, str]
    remarks: list[str]


def files_below(root: Path, *, hidden: bool = False) -> list[File]:
    """All files below a folder, sorted by name, or the file itself; links are followed.

    Args:
        root: a folder or a file.
        hidden: whether those that a folder of images hides count too.

    Raises:
        ValueError: for links that lead nowhere, devices and pipes.
        OSError: for folders that cannot be read.
    """
    if not root.is_dir():
        return [_file(root, root.name)]
    files, visited = [], {_identity(root)}
    waiting = [("", root)]
    while waiting:
        inner, folder = waiting.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{inner}{entry.name}"
                if not hidden and (entry.name.startswith(".") or entry.name == "__MACOSX"):
                    continue
                if not entry.is_dir():
                    files.append(_file(Path(entry.path), name))
                elif (identity := _identity(Path(entry.path))) not in visited:
                    # A link may lead to a folder above.
                    visited.add(identity)
                    waiting.append((f"{name}/", Path(entry.path)))
    return sorted(files)


def sort_images(files: list[File], split: str | None, what: str) -> Sorted:
    """The image files of a folder, with the split and the subfolder of each.

    Folders named `train` and `test` (`validation`, `val`, ...), or as `split` says, are splits.
    Where there are several subfolders below, their names are labels. A folder that holds one
    folder and no image is passed over, in the folder itself and in every split, unless another
    split has it as one of several labels.

    Args:
        files: all of them.
        split: `TRAIN` or `TRAIN/TEST`, folders; None for those that are known by name.
        what: the folder, in words.

    Raises:
        ValueError: without images, for splits that are not there, and for folders that may be
            splits or labels.
    """
    names = [each.name for each in files if each.name.lower().endswith(SUFFIXES)]
    others = [each.name for each in files if not each.name.lower().endswith(SUFFIXES)]
    if not files:
        raise ValueError(f"expected images in {what}, got an empty folder")
    if not names:
        raise ValueError(
            f"expected images ({', '.join(SUFFIXES)}) in {what}, found none among "
            f"{len(files):,} files{_listed(others)}; convert them, or name a .npy or .npz itself"
        )
    remarks = [_left(others, "no images")] if others else []
    asked = split.split("/") if split else []
    root = _roots({"all": names}, {"all": ""}, not_skipped=asked)["all"]
    by_top: dict[str, list[str]] = {}
    for name in names:
        by_top.setdefault(_top(name, root), []).append(name)
    tops = [top for top in by_top if top]
    chosen = chosen_splits(tops, split, what)
    if chosen and chosen[1] is None and not asked and len(tops) > 1:
        _refuse_doubt(chosen[0], by_top, root, what)
        chosen = None
    splits, roots = {"all": names}, {"all": root}
    if chosen is None:
        _refuse_words_of_splits(tops, what)
        remarks += _inner_splits(by_top, root, what)
    else:
        fit, test = chosen
        wanted = {"all": fit} if test is None else {"train": fit, "test": test}
        splits = {ours: by_top[top] for ours, top in wanted.items()}
        roots = _roots(splits, {ours: f"{root}{top}/" for ours, top in wanted.items()})
        outside = [name for name in names if _top(name, root) not in chosen]
        where = f"not in {fit}" if test is None else f"in neither {fit} nor {test}"
        remarks += [_left(outside, where)] if outside else []
    labels = {name: _top(name, roots[ours]) for ours, inside in splits.items() for name in inside}
    beside = [name for name, label in labels.items() if not label]
    if 0 < len(beside) < len(labels):
        remarks.append(f"subfolders are no labels, since some images are in none{_listed(beside)}")
    if beside or len(set(labels.values())) == 1:
        labels = {}
    return Sorted(splits, labels, remarks)


def empty_held_out(root: Path, names: Sequence[str]) -> list[str]:
    """The folders that have the name of a split to hold out and no images.

    Args:
        root: a folder of images.
        names: its images, where they have no splits; otherwise none.
    """
    if not names:
        return []
    above = os.path.commonpath({os.path.dirname(name) for name in names})
    places = [Path(), *reversed(Path(above).parents[:-1]), *([Path(above)] if above else [])]
    empty = []
    for place in places:
        with os.scandir(root / place) as entries:
            # There may be a million files beside it.
            named = [each.name for each in entries if each.name.lower() in HELD_OUT]
        for name in held_out_names(sorted(named), besides=""):
            folder = place / name
            inside = any(Path(each).is_relative_to(folder) for each in names)
            if (root / folder).is_dir() and not inside:
                empty.append(str(folder))
    return empty


def _roots(
    splits: Mapping[str, list[str]], roots: Mapping[str, str], not_skipped: Sequence[str] = ()
) -> dict[str, str]:
    """The folder of every split whose subfolders are labels, skipping single subfolders.

    Args:
        splits: names of files.
        roots: the folder of every split.
        not_skipped: names of folders that are not skipped.
    """
    folders = dict(roots)
    while True:
        below = {
            split: {_top(name, folders[split]) for name in names} for split, names in splits.items()
        }
        labels = {*not_skipped, *(top for tops in below.values() if len(tops) > 1 for top in tops)}
        alone = {
            split: top
            for split, (top, *more) in below.items()
            if top and not more and top not in labels
        }
        if not alone:
            return folders
        folders |= {split: f"{folders[split]}{top}/" for split, top in alone.items()}


def _inner_splits(by_top: Mapping[str, list[str]], root: str, what: str) -> list[str]:
    """A remark on folders that have the names of splits and are none, since they lie deeper."""
    for top in filter(None, by_top):
        below = {_top(name, f"{root}{top}/") for name in by_top[top]} - {""}
        fit, test = chosen_splits(sorted(below), None, what) or (None, None)
        if test is not None:
            return [f"{top}/{fit} and {top}/{test} are no splits, since {top} is not alone"]
    return []


def _refuse_doubt(fit: str, by_top: Mapping[str, list[str]], root: str, what: str) -> None:
    """Refuse a folder for training that has labels, beside others, none of which is for testing."""
    labels = {_top(name, f"{root}{fit}/") for name in by_top[fit]} - {""}
    if len(labels) > 1:
        others = [top or "images" for top in by_top if top != fit]
        raise ValueError(
            f"expected to know whether {fit} is a split or a label in {what}, got subfolders in it "
            f"and {first_few(others)} beside it: say split={fit}, of which a tenth is "
            f"then held out, or split={fit}/TEST, or rename {fit} if it is a label"
        )


def _refuse_words_of_splits(tops: Sequence[str], what: str) -> None:
    """Refuse folders whose names hold the words of both splits, such as `x_train` and `x_test`."""
    fit, test = (
        next((top for top in tops if {*parts_of(top.lower())} & {*words}), None)
        for words in (TRAIN, HELD_OUT)
    )
    if fit and test and fit != test:
        raise ValueError(
            f"expected to know whether {fit} and {test} are splits or labels in {what}: say "
            f"split={fit}/{test}, or rename one of them if they are labels"
        )


def _top(name: str, root: str) -> str:
    """The first folder below another, empty for what is in that itself."""
    folder, _, rest = name.removeprefix(root).partition("/")
    return folder if rest else ""


def _left(names: list[str], why: str) -> str:
    return f"{counted(len(names), 'file')} left out, {why}{_listed(names)}"


def _listed(names: list[str]) -> str:
    return f" ({first_few(names)})" if names else ""


def _file(path: Path, name: str) -> File:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise ValueError(f"{path}: expected a file, got a link that leads nowhere") from error
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path}: expected a regular file, got something else; remove it")
    return File(name, status.st_size, (status.st_mtime_ns, status.st_ctime_ns))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
