"""Folders whose files are known to be what was written: a list of checksums lies beside them."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxvae.files.reading import is_regular, left_alone

MANIFEST = "manifest.json"

_CHUNK_BYTES = 1 << 22


class DamageError(ValueError):
    """A file is not what was written; the message names it."""


def seal(folder: Path, metadata: Mapping[str, Any] | None = None) -> None:
    """List the size and the CRC-32 of every file below a folder in its `manifest.json`.

    Args:
        folder: with all that it will hold.
        metadata: what else to keep there, as JSON can.

    Raises:
        OSError: if it cannot be written.
    """
    files = {
        path.relative_to(folder).as_posix(): _facts(path)
        for path in sorted(folder.rglob("*"))
        if not path.is_dir()
    }
    content = {"files": files, "metadata": dict(metadata or {})}
    manifest = {"content": content, "crc32": zlib.crc32(_canonical(content))}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def is_sealed(folder: Path) -> bool:
    """Whether there is a list of checksums; nothing is compared with it."""
    return is_regular(folder / MANIFEST)


def metadata_of(folder: Path) -> dict[str, Any]:
    """The metadata of a sealed folder, with which nothing was compared; empty where damaged."""
    try:
        metadata = json.loads((folder / MANIFEST).read_bytes())["content"]["metadata"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def unsealed(folder: Path) -> dict[str, Any]:
    """The metadata of a sealed folder, after every file was read once and compared.

    About a gigabyte a second. Files that the list does not name do not matter.

    Raises:
        DamageError: names the first file that is absent, or not as it was written.
        OSError: for one that cannot be read, which may be whole.
    """
    manifest = folder / MANIFEST
    if not is_regular(manifest):
        raise DamageError(f"{manifest} is absent or no regular file")
    with left_alone(manifest):
        written = manifest.read_bytes()
    try:
        manifest_content = json.loads(written)
        content = manifest_content["content"]
        whole = manifest_content["crc32"] == zlib.crc32(_canonical(content))
        metadata, files = content["metadata"], content["files"]
        known = bool(files) and all(map(_is_entry, files, files.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamageError(f"{manifest} cannot be read ({_words(error)})") from error
    if not whole:
        raise DamageError(f"{manifest} does not match its checksum")
    if not known or not isinstance(metadata, dict):
        raise DamageError(f"{manifest} is no list of files below its folder with their checksums")
    for name, facts in files.items():
        path = folder / name
        # What is no regular file may have no end.
        if not is_regular(path):
            raise DamageError(f"{path} is absent or no regular file")
        with left_alone(path):
            whole = path.stat().st_size == facts["bytes"] and _facts(path) == facts
        if not whole:
            raise DamageError(f"{path} does not match its checksum")
    return metadata


def _is_entry(name: str, facts: object) -> bool:
    """Whether a manifest says size and checksum of a file that lies below its folder."""
    inside = not {"", ".", ".."} & set(name.split("/")) and "\0" not in name
    if not isinstance(facts, dict) or set(facts) != {"bytes", "crc32"}:
        return False
    return inside and all(type(number) is int for number in facts.values())


def _facts(path: Path) -> dict[str, int]:
    checksum = size = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum, size = zlib.crc32(chunk, checksum), size + len(chunk)
    return {"bytes": size, "crc32": checksum}


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True).encode("utf-8")


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
