"""Arrays of archives, read by name, against NumPy's own reading."""

import numpy as np
import pytest

from jaxvae.files.numpy_files import read_archive, read_members, verify_archive
from tests.files.damage import flip
from tests.files.unreadable import MESSAGE, make_unreadable

ARRAYS = {
    "matrix": np.arange(6.0).reshape(2, 3),
    "columns first": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
    "number": np.array(3.5, np.float32),
    "none": np.zeros((0, 4)),
    "flags": np.array([True, False]),
    "text": np.array("settings"),
    "texts/below": np.array(["a", "longer"]),
    "big": np.arange(3, dtype=">i2"),
}


@pytest.fixture
def archive(tmp_path):
    np.savez(tmp_path / "arrays.npz", **ARRAYS)
    return tmp_path / "arrays.npz"


def test_every_array_is_that_of_numpy(archive):
    found = read_members(archive, ARRAYS)
    assert list(found) == list(ARRAYS)
    with np.load(archive) as opened:
        for name, values in found.items():
            np.testing.assert_array_equal(values, opened[name])
            assert values.dtype == opened[name].dtype
            assert values.shape == opened[name].shape


def test_only_what_is_asked_for_and_there_is_read(archive):
    assert list(read_members(archive, ["number", "absent", "flags"])) == ["number", "flags"]


def test_the_same_header_of_another_archive_gives_its_own_numbers(archive, tmp_path):
    other = tmp_path / "other.npz"
    np.savez(other, matrix=ARRAYS["matrix"] + 1)
    for file, more in ((archive, 0), (other, 1), (archive, 0)):
        np.testing.assert_array_equal(read_members(file, ["matrix"])["matrix"][0, 0], more)


def test_a_flipped_bit_is_found(archive):
    flip(archive, 8 * archive.read_bytes().index(ARRAYS["matrix"].tobytes()[8:16]))
    assert "number" in read_members(archive, ["number"])
    with pytest.raises(ValueError, match=r"arrays\.npz"):
        read_members(archive, ["matrix"])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive" * 100])
def test_what_is_no_archive_is_refused_by_name(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.npz"):
        read_members(tmp_path / "x.npz", ["a"])


def test_objects_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.array([{}], object))
    with pytest.raises(ValueError, match="pickled"):
        read_members(tmp_path / "x.npz", ["a"])


@pytest.mark.parametrize(
    "read", [read_archive, verify_archive, lambda file: read_members(file, ["matrix"])]
)
def test_a_file_that_cannot_be_read_is_not_called_damaged(archive, read):
    make_unreadable(archive)
    with pytest.raises(OSError, match=MESSAGE.format(r"arrays\.npz")):
        read(archive)
    with pytest.raises(FileNotFoundError, match=r"expected to read .*absent\.npz"):
        read(archive.with_name("absent.npz"))
