"""Compiled programs on disk: where, said once, and the same numbers."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

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


def run(**environment):
    names = {**os.environ, **ENVIRONMENT, **environment}
    # That of these tests.
    if "JAX_COMPILATION_CACHE_DIR" not in environment:
        del names["JAX_COMPILATION_CACHE_DIR"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=names, capture_output=True, text=True, check=True
    )
    place, _, number = done.stdout.strip().rpartition(" ")
    return place, number, done.stderr


@pytest.mark.slow
def test_a_second_process_reads_what_the_first_compiled_and_says_nothing(tmp_path):
    place, number, said = run(JAXVAE_CACHE_DIR=str(tmp_path))
    assert place.startswith(str(tmp_path / "compiled"))
    assert said == f"compiled programs are kept in {place} (JAXVAE_CACHE_DIR)\n"
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "compiled").rglob("*-cache")}
    assert files
    assert run(JAXVAE_CACHE_DIR=str(tmp_path)) == (place, number, "")
    now = {path: path.stat().st_mtime_ns for path in (tmp_path / "compiled").rglob("*-cache")}
    assert now == files


@pytest.mark.slow
def test_the_place_that_jax_was_told_is_kept(tmp_path):
    own = str(tmp_path / "own")
    place, _, said = run(JAX_COMPILATION_CACHE_DIR=own, JAXVAE_CACHE_DIR=str(tmp_path / "other"))
    assert place == own
    assert said == ""
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_it_can_be_turned_off(tmp_path):
    off = {"JAX_ENABLE_COMPILATION_CACHE": "false", "JAXVAE_CACHE_DIR": str(tmp_path / "cache")}
    place, _, said = run(**off)
    assert (place, said) == ("None", "")
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_a_place_that_cannot_be_written_is_said_and_does_no_harm(tmp_path):
    (tmp_path / "file").write_text("")
    place, _, said = run(JAXVAE_CACHE_DIR=str(tmp_path / "file"))
    assert place == "None"
    assert said.startswith("compiled programs are not kept (JAXVAE_CACHE_DIR): ")


@pytest.mark.slow
def test_what_nobody_has_read_for_a_month_is_removed(tmp_path):
    place, *_ = run(JAXVAE_CACHE_DIR=str(tmp_path))
    old, new = f"{place}/jit_old-0-cache", f"{place}/jit_new-0-cache"
    for path, days in ((old, 31), (new, 29)):
        with open(path, "wb"):
            pass
        then = time.time() - days * 24 * 3600
        os.utime(path, (then, then))
    run(JAXVAE_CACHE_DIR=str(tmp_path))
    assert (os.path.exists(old), os.path.exists(new)) == (False, True)


# --- what others could have written, and what is damaged ------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("mask", [0, 0o022])
def test_only_the_owner_can_reach_the_programs(tmp_path, mask):
    before = os.umask(mask)
    try:
        place, *_ = run(JAXVAE_CACHE_DIR=str(tmp_path))
    finally:
        os.umask(before)
    for folder in (place, os.path.dirname(place)):
        assert os.stat(folder).st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_a_folder_that_others_can_write_is_not_used(tmp_path):
    place, number, _ = run(JAXVAE_CACHE_DIR=str(tmp_path))
    os.chmod(place, 0o777)
    nowhere, same, said = run(JAXVAE_CACHE_DIR=str(tmp_path))
    assert (nowhere, same) == ("None", number)
    assert "expected a folder that only you can write, got" in said
    assert said.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to others")
def test_a_folder_of_somebody_else_is_not_used(tmp_path):
    place, *_ = run(JAXVAE_CACHE_DIR=str(tmp_path))
    os.chown(place, 12345, 12345)
    nowhere, _, said = run(JAXVAE_CACHE_DIR=str(tmp_path))
    assert nowhere == "None"
    assert "of user 12345" in said


def flip(path, other):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def tear(path, other):
    path.write_bytes(path.read_bytes()[:100])


def swap(path, other):
    path.write_bytes(other.read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flip, tear, swap])
def test_a_damaged_program_is_compiled_and_kept_again_without_a_word(tmp_path, damage):
    place, number, _ = run(JAXVAE_CACHE_DIR=str(tmp_path))
    paths = sorted(Path(place).glob("*-cache"))
    whole = {path: path.read_bytes() for path in paths}
    for path, other in zip(paths, paths[1:] + paths[:1], strict=True):
        damage(path, other)
        assert path.read_bytes() != whole[path] or len(paths) == 1
    assert run(JAXVAE_CACHE_DIR=str(tmp_path)) == (place, number, "")
    times = {path: path.stat().st_mtime_ns for path in paths}
    assert run(JAXVAE_CACHE_DIR=str(tmp_path)) == (place, number, "")
    assert {path: path.stat().st_mtime_ns for path in paths} == times
