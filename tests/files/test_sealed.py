"""A list of checksums that is of another shape is damage, and never passes."""

import json
import zlib

import pytest

from jaxvae.files.sealed import MANIFEST, DamageError, seal, unsealed
from tests.files.unreadable import MESSAGE, make_unreadable


def test_metadata_come_back_from_a_sealed_folder(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a").write_text("abc")
    seal(tmp_path, {"n": 3})
    assert unsealed(tmp_path) == {"n": 3}


@pytest.mark.parametrize(
    "files",
    [
        {},
        [],
        "a",
        {"a": None},
        {"a": 3},
        {"a": {"bytes": 1}},
        {"a": {"bytes": "1", "crc32": 0}},
        {"../outside": {"bytes": 0, "crc32": 0}},
        {"/outside": {"bytes": 0, "crc32": 0}},
        {"a/../../outside": {"bytes": 0, "crc32": 0}},
        {"": {"bytes": 0, "crc32": 0}},
        {"a\0": {"bytes": 0, "crc32": 0}},
    ],
    ids=repr,
)
def test_a_list_of_another_shape_is_damage(tmp_path, files):
    (tmp_path / "outside").touch()
    folder = tmp_path / "sealed"
    folder.mkdir()
    content = {"files": files, "metadata": {}}
    checksum = zlib.crc32(json.dumps(content, sort_keys=True).encode())
    (folder / MANIFEST).write_text(json.dumps({"content": content, "crc32": checksum}))
    with pytest.raises(DamageError, match=r"manifest\.json (is no list|cannot be read)"):
        unsealed(folder)


@pytest.mark.parametrize("name", [MANIFEST, "a"])
def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path, name):
    # Of the size that the other file has.
    (tmp_path / "a").touch()
    seal(tmp_path)
    make_unreadable(tmp_path / name)
    with pytest.raises(OSError, match=MESSAGE.format(name)):
        unsealed(tmp_path)
