import json
import multiprocessing
import os
import resource
import time
from pathlib import Path

import numpy as np
import pytest

from jaxvae.data.cache import cache_directory, create_array, fetch
from jaxvae.files.whole import hidden_folder
from tests.files.damage import flip
from tests.files.unreadable import MESSAGE, make_unreadable

PIXELS = np.arange(60, dtype=np.uint8).reshape(5, 3, 4)


def build_pixels(directory: Path) -> dict:
    append = create_array(directory / "pixels.npy", PIXELS.shape, PIXELS.dtype)
    append(PIXELS[:2])
    append(PIXELS[2:])
    return {"names": ["a", "b"]}


def refuse_to_build(directory: Path) -> dict:
    raise RuntimeError(f"built {directory} although it is cached")


def build_slowly(directory: Path) -> dict:
    metadata = build_pixels(directory)
    time.sleep(0.3)
    return metadata


def fetch_in_process(key: str, results) -> None:
    results.put(fetch(key, build_slowly).arrays["pixels"].tolist())


@pytest.fixture(autouse=True)
def cache(own_cache):
    return own_cache


def truncate(entry: Path) -> None:
    path = entry / "pixels.npy"
    os.truncate(path, path.stat().st_size - 7)


def empty(entry: Path) -> None:
    os.truncate(entry / "pixels.npy", 0)


def flip_a_byte_of_the_header(entry: Path) -> None:
    path = entry / "pixels.npy"
    path.write_bytes(path.read_bytes().replace(b"'shape'", b"'shape\""))


def lengthen(entry: Path) -> None:
    with (entry / "pixels.npy").open("ab") as file:
        file.write(b"more")


def flip_the_last_bit(entry: Path) -> None:
    flip(entry / "pixels.npy", -1)


def remove_the_array(entry: Path) -> None:
    (entry / "pixels.npy").unlink()


def remove_the_manifest(entry: Path) -> None:
    (entry / "manifest.json").unlink()


def halve_the_manifest(entry: Path) -> None:
    path = entry / "manifest.json"
    os.truncate(path, path.stat().st_size // 2)


def alter_the_metadata(entry: Path) -> None:
    path = entry / "manifest.json"
    path.write_text(path.read_text().replace('"b"', '"c"'))


def replace_the_manifest(entry: Path) -> None:
    (entry / "manifest.json").write_text(json.dumps(["not", "a", "manifest"]))


DAMAGES = [
    truncate,
    empty,
    flip_a_byte_of_the_header,
    lengthen,
    flip_the_last_bit,
    remove_the_array,
    remove_the_manifest,
    halve_the_manifest,
    alter_the_metadata,
    replace_the_manifest,
]


def test_rows_appended_in_blocks_are_read_back_as_one_array():
    np.testing.assert_array_equal(fetch("key", build_pixels).arrays["pixels"], PIXELS)


def test_metadata_is_kept():
    fetch("key", build_pixels)
    assert fetch("key", refuse_to_build).metadata == {"names": ["a", "b"]}


def test_an_entry_is_built_only_once():
    fetch("key", build_pixels)
    np.testing.assert_array_equal(fetch("key", refuse_to_build).arrays["pixels"], PIXELS)


def test_arrays_are_read_only_memory_maps():
    pixels = fetch("key", build_pixels).arrays["pixels"]
    assert isinstance(pixels, np.memmap)
    assert not pixels.flags.writeable


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_built_again(cache, damage):
    fetch("key", build_pixels)
    damage(cache / "datasets" / "key")
    entry = fetch("key", build_pixels)
    np.testing.assert_array_equal(entry.arrays["pixels"], PIXELS)
    assert entry.metadata == {"names": ["a", "b"]}
    fetch("key", refuse_to_build)


def test_a_damaged_entry_is_reported_in_one_log_line(cache, caplog):
    fetch("key", build_pixels)
    flip_the_last_bit(cache / "datasets" / "key")
    fetch("key", build_pixels)
    assert [record.name for record in caplog.records] == ["jaxvae"]
    assert "pixels.npy does not match its checksum" in caplog.text


def test_a_build_that_fails_leaves_nothing_behind(cache):
    with pytest.raises(RuntimeError):
        fetch("key", refuse_to_build)
    assert list(cache.rglob("*")) == []


def test_a_file_with_missing_rows_is_not_kept(cache):
    def build_half(directory: Path) -> dict:
        create_array(directory / "pixels.npy", PIXELS.shape, PIXELS.dtype)(PIXELS[:2])
        return {}

    with pytest.raises(ValueError):
        fetch("key", build_half)
    assert list(cache.rglob("*")) == []


def test_a_cache_that_cannot_be_written_is_a_clear_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("a regular file")
    monkeypatch.setenv("JAXVAE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(OSError, match=r"file/cache.*set JAXVAE_CACHE_DIR"):
        fetch("key", build_pixels)


def test_a_disk_that_fills_up_is_a_clear_error_and_leaves_nothing_behind(cache):
    def build_much(directory: Path) -> dict:
        append = create_array(directory / "much.npy", (64, 1024), np.dtype(np.uint8))
        append(np.zeros((64, 1024), np.uint8))
        return {}

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="set JAXVAE_CACHE_DIR"):
            fetch("key", build_much)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(cache.rglob("*")) == []


def test_two_processes_that_build_at_once_both_get_the_arrays(cache):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=fetch_in_process, args=("key", results)) for _ in "ab"]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == [PIXELS.tolist()] * 2
    for process in processes:
        process.join()
    assert [path.name for path in (cache / "datasets").iterdir()] == ["key"]


def test_an_entry_that_another_process_finished_first_is_kept():
    def build_while_another_does(directory: Path) -> dict:
        fetch("key", build_pixels)
        return build_pixels(directory) | {"names": ["late"]}

    assert fetch("key", build_while_another_does).metadata == {"names": ["a", "b"]}


def test_what_a_killed_process_left_is_removed_by_the_next_that_builds(cache):
    (cache / "datasets").mkdir(parents=True)
    with hidden_folder(cache / "datasets") as left:
        pass
    left.mkdir()
    fetch("key", build_pixels)
    assert [path.name for path in (cache / "datasets").iterdir()] == ["key"]


def test_an_entry_that_cannot_be_read_is_refused_and_not_built_again(cache):
    fetch("key", build_pixels)
    manifest = cache / "datasets" / "key" / "manifest.json"
    make_unreadable(manifest)
    with pytest.raises(OSError, match=MESSAGE.format(r"manifest\.json")):
        fetch("key", refuse_to_build)
    assert manifest.is_symlink()


def test_the_cache_directory_follows_the_environment(tmp_path, monkeypatch):
    assert cache_directory() == tmp_path / "cache"
    monkeypatch.delenv("JAXVAE_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    assert cache_directory() == tmp_path / "shared" / "jaxvae"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_directory() == tmp_path / "home" / ".cache" / "jaxvae"
