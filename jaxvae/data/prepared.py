"""The sets that TensorFlow Datasets has prepared on disk, found without importing it.

A set lies in `data_dir/name[/config]/version`, described by `dataset_info.json` and
`features.json`.
"""

import hashlib
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

_NAME = re.compile(
    r"(?P<name>\w+)(/(?P<config>\w[\w.+-]*))?(:(?P<version>\d+\.\d+\.\d+))?", re.ASCII
)
_VERSION = re.compile(r"\d+\.\d+\.\d+")
FILE_FORMAT = "array_record"
"""The one that is read without TensorFlow."""

_INFO = "dataset_info.json"
_FEATURES = "features.json"

OWN_NAMES = ("cars3d",)
"""The sets that TFDS lacks and `jaxvae.data` has a builder for."""

CARS3D_URL = "http://www.scottreed.info/files/nips2015-analogy-data.tar.gz"
"""Where the archive of `cars3d` was published; the file keeps its name."""


class Prepared(NamedTuple):
    """A set on disk, ready to be read.

    Attributes:
        name: `name` or `name/config`.
        version: as in `3.0.1`.
        directory: where its files are.
        splits: the number of examples of every split that has any.
        fingerprint: a hash of its description; another content has another one.
    """

    name: str
    version: str
    directory: Path
    splits: dict[str, int]
    fingerprint: str


def data_directory(data_dir: str | os.PathLike[str] | None) -> Path:
    """The folder of prepared sets: the argument, else `TFDS_DATA_DIR`, else the default of TFDS."""
    directory = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(directory).expanduser()


def manual_directory(directory: Path) -> Path:
    """The folder where TFDS looks for files that have to be downloaded by hand."""
    return directory / "downloads" / "manual"


def find_prepared(name: str, directory: Path) -> Prepared | None:
    """The set of this name under a data directory: its newest version unless one is named.

    Args:
        name: `name`, `name/config`, either with `:version`, as TFDS writes it. The config
            may be left out where only one is prepared.
        directory: the data directory.

    Returns:
        The set, or None where it is not prepared.

    Raises:
        ValueError: if the name is not one, if it leaves open which config is meant, or
            if what is on disk was prepared in a form that cannot be read.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"expected a name such as 'mnist' or 'name/config:1.0.0', got {name!r}")
    config = match["config"] or _only_config(directory / match["name"])
    full_name = f"{match['name']}/{config}" if config else match["name"]
    versions = _versions(directory / full_name)
    if match["version"]:
        versions = [path for path in versions if path.name == match["version"]]
    return _describe(full_name, versions[-1]) if versions else None


def prepared_names(directory: Path) -> tuple[str, ...]:
    """The names of all sets prepared under a data directory, sorted."""
    names = []
    for home in _subdirectories(directory):
        if _versions(home):
            names.append(home.name)
        names += [f"{home.name}/{config}" for config in _configs(home)]
    return tuple(sorted(names))


def preparation(name: str, directory: Path) -> str:
    """The commands that prepare a set, and what they need."""
    variable = f"TFDS_DATA_DIR={shlex.quote(str(directory))} "
    if name.partition(":")[0] == "cars3d":
        archive = manual_directory(directory) / Path(CARS3D_URL).name
        return (
            f"  curl -L --create-dirs -o {shlex.quote(str(archive))} {CARS3D_URL}\n"
            f"  {variable}jaxvae data cars3d --prepare\n"
            "(TensorFlow is not needed)"
        )
    return (
        f"  pip install tensorflow importlib_resources\n"
        f"  {variable}jaxvae data {shlex.quote(name)} --prepare\n"
        "(this downloads the set; TensorFlow is needed for this step only)"
    )


def _only_config(home: Path) -> str | None:
    """The config to take where none is named: none, or the only one there is."""
    configs = _configs(home)
    if _versions(home) or not configs:
        return None
    if len(configs) > 1:
        choices = ", ".join(f"{home.name}/{config}" for config in configs)
        raise ValueError(f"expected one of {choices}, got {home.name!r}")
    return configs[0]


def _configs(home: Path) -> list[str]:
    return [path.name for path in _subdirectories(home) if _versions(path)]


def _versions(home: Path) -> list[Path]:
    """The complete versions under a directory, oldest first by number."""
    versions = [
        path
        for path in _subdirectories(home)
        if _VERSION.fullmatch(path.name) and (path / _INFO).is_file()
    ]
    return sorted(versions, key=lambda path: [int(part) for part in path.name.split(".")])


def _subdirectories(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if path.is_dir())


def _describe(name: str, directory: Path) -> Prepared:
    info = _read_info(directory)
    formats = {info.get("fileFormat", "tfrecord"), *info.get("alternativeFileFormats", ())}
    if FILE_FORMAT not in formats:
        raise ValueError(
            f"expected {name!r} prepared as {FILE_FORMAT}, got {', '.join(sorted(formats))} in "
            f"{directory}; prepare it again under another data_dir:\n"
            + preparation(name, Path("OTHER_DATA_DIR"))
        )
    splits = {
        split["name"]: sum(int(length) for length in split.get("shardLengths", ()))
        for split in info["splits"]
    }
    splits = {split: examples for split, examples in splits.items() if examples}
    return Prepared(name, directory.name, directory, splits, _fingerprint(directory))


def _read_info(directory: Path) -> dict[str, Any]:
    try:
        info = json.loads((directory / _INFO).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"expected JSON in {directory / _INFO}, got {error}") from error
    if not (directory / _FEATURES).is_file():
        raise ValueError(
            f"expected {_FEATURES} in {directory}, got none: TFDS 4 and later write it"
        )
    return info


def _fingerprint(directory: Path) -> str:
    content = hashlib.sha256()
    for name in (_INFO, _FEATURES):
        content.update((directory / name).read_bytes())
        content.update(b"\0")
    return content.hexdigest()[:16]
