"""Compiled programs on disk: where, said once, and the same numbers."""

import os
import shutil
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path

import jax
import pytest

from jaxvae.runs.compiled import _make_private, keep_compiled_programs
from tests.files.damage import flip

PROGRAM = """
import sys
import jax, jax.numpy as jnp
from jaxvae.runs.compiled import keep_compiled_programs
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
place = keep_compiled_programs()
assert keep_compiled_programs() == place
number = jax.jit(lambda x: jnp.sum(jnp.sin(x @ x)))(jnp.linspace(0, 1, 10_000).reshape(100, 100))
print(place, float(number).hex())
"""
# The least seconds are set by the program above, which the variable keeps from being changed.
ENVIRONMENT = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def run(folder):
    """Place, number and standard error of a process that keeps its programs in the folder."""
    names = {**os.environ, **ENVIRONMENT, "JAXVAE_CACHE_DIR": str(folder)}
    # That of these tests.
    del names["JAX_COMPILATION_CACHE_DIR"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=names, capture_output=True, text=True, check=True
    )
    place, _, number = done.stdout.strip().rpartition(" ")
    return Path(place), number, done.stderr


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The folder of the first process, and what it printed. Its mask would let others write."""
    folder = tmp_path_factory.mktemp("first") / "cache"
    before = os.umask(0)
    try:
        found = run(folder)
    finally:
        os.umask(before)
    shutil.copytree(folder, folder.with_name("whole"))
    return folder, *found


@pytest.fixture
def kept(first):
    """The folder as the first process left it, the place in it, and the number."""
    folder, place, number, _ = first
    # JAX knows a program by its place too.
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name("whole"), folder)
    return folder, place, number


@pytest.fixture
def untold():
    """As if JAX had not been told where to keep programs; nothing is compiled meanwhile."""
    names = ("jax_compilation_cache_dir", "jax_enable_compilation_cache")
    before = {name: jax.config.values[name] for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield keep_compiled_programs.__wrapped__
    for name, value in before.items():
        jax.config.update(name, value)


def times(place):
    return {path: path.stat().st_mtime_ns for path in place.glob("*-cache")}


@pytest.mark.slow
def test_the_first_process_says_where_it_keeps_programs_that_only_their_owner_can_reach(first):
    folder, place, _, said = first
    assert place.is_relative_to(folder / "compiled")
    assert said == f"compiled programs are kept in {place} (JAXVAE_CACHE_DIR)\n"
    assert times(place)
    for each in (place, place.parent):
        assert each.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_a_second_process_reads_them_and_says_nothing_and_removes_what_nobody_has_read_for_a_month(
    kept,
):
    folder, place, number = kept
    before = times(place)
    old, new = place / "jit_old-0-cache", place / "jit_new-0-cache"
    for path, days in ((old, 31), (new, 29)):
        path.touch()
        then = time.time() - days * 24 * 3600
        os.utime(path, (then, then))
    left = times(place).keys() - {old}
    assert run(folder) == (place, number, "")
    after = times(place)
    assert after.keys() == left
    assert {path: after[path] for path in before} == before


def test_the_place_that_jax_was_told_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVAE_CACHE_DIR", str(tmp_path / "other"))
    assert keep_compiled_programs.__wrapped__() == os.environ["JAX_COMPILATION_CACHE_DIR"]
    assert not (tmp_path / "other").exists()


def test_it_can_be_turned_off(tmp_path, monkeypatch, untold):
    monkeypatch.setenv("JAXVAE_CACHE_DIR", str(tmp_path / "cache"))
    jax.config.update("jax_enable_compilation_cache", False)
    assert untold() is None
    assert not (tmp_path / "cache").exists()


def test_a_place_that_cannot_be_written_is_said_and_does_no_harm(
    tmp_path, monkeypatch, capsys, untold
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAXVAE_CACHE_DIR", str(tmp_path / "file"))
    assert untold() is None
    assert capsys.readouterr().err.startswith("compiled programs are not kept (JAXVAE_CACHE_DIR): ")


# --- what others could have written, and what is damaged ------------------------------


@pytest.mark.parametrize("mask", [0, 0o022])
def test_a_folder_of_programs_is_made_for_its_owner_alone(tmp_path, mask):
    before = os.umask(mask)
    try:
        _make_private(tmp_path / "programs")
    finally:
        os.umask(before)
    assert (tmp_path / "programs").stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_a_folder_that_others_can_write_is_not_used(kept):
    folder, place, number = kept
    place.chmod(0o777)
    nowhere, same, said = run(folder)
    assert (str(nowhere), same) == ("None", number)
    assert "expected a folder that only you can write, got" in said
    assert said.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to others")
def test_a_folder_of_somebody_else_is_not_used(tmp_path, monkeypatch, capsys, untold):
    monkeypatch.setenv("JAXVAE_CACHE_DIR", str(tmp_path))
    (tmp_path / "compiled").mkdir(mode=0o700)
    os.chown(tmp_path / "compiled", 12345, 12345)
    assert untold() is None
    assert "of user 12345" in capsys.readouterr().err


def flip_a_bit(path, other):
    flip(path)


def tear(path, other):
    path.write_bytes(path.read_bytes()[:100])


def swap(path, other):
    path.write_bytes(other)


@pytest.mark.slow
def test_a_damaged_program_is_compiled_and_kept_again_without_a_word(kept):
    folder, place, number = kept
    paths = sorted(place.glob("*-cache"))
    whole = {path: path.read_bytes() for path in paths}
    assert len(paths) >= 3
    for damage, path, other in zip(cycle((flip_a_bit, tear, swap)), paths, paths[1:] + paths[:1]):
        damage(path, whole[other])
        assert path.read_bytes() != whole[path]
    damaged = {path: path.read_bytes() for path in paths}
    assert run(folder) == (place, number, "")
    assert all(path.read_bytes() != damaged[path] for path in paths)
    again = times(place)
    assert run(folder) == (place, number, "")
    assert times(place) == again
