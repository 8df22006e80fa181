"""The records of runs: whole or absent, and many of them as arrays."""

import dataclasses

import numpy as np
import pytest

from jaxvae.runs.config import RunConfig
from jaxvae.runs.sweep_run import Place, read_settings_of, run_file
from jaxvae.sweeps import records
from jaxvae.sweeps.records import (
    done_runs,
    is_whole,
    over_runs,
    read_run,
    write_arrays,
    write_run,
)
from tests.files.damage import flip
from tests.files.unreadable import MESSAGE, make_readable, make_unreadable

NAMES = ("sprites/a", "sprites/b", "c")
CONFIG = RunConfig(latents=3, seed=5)


def write(out, name, **arrays):
    place = Place(**dict.fromkeys(Place._fields, 4) | {"unit": "0123"})
    shape = (8, 8, 1)
    write_run(out, name, arrays, config=CONFIG, image_shape=shape, place=place, scratch=out)
    return place


def test_what_is_written_is_read_again_with_the_settings_and_the_place(tmp_path):
    values = np.arange(6.0).reshape(2, 3)
    place = write(tmp_path, "sprites/a", kl=values, failed=np.array([False, True]))
    found = read_run(tmp_path, "sprites/a")
    np.testing.assert_array_equal(found["kl"], values)
    settings, there = read_settings_of(run_file(tmp_path, "sprites/a"))
    assert there == place
    assert settings["seed"] == 5
    assert settings["latents"] == 3
    assert {path.name for path in tmp_path.rglob("*")} == {"runs", "sprites", "a.npz"}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    write(tmp_path, "a", kl=np.zeros(3))
    before = run_file(tmp_path, "a").read_bytes()

    class Broken:
        def __array__(self, *arguments, **options):
            raise OSError("disk full")

    with pytest.raises(OSError, match=r"expected to write .*a\.npz, got: disk full"):
        write_arrays(run_file(tmp_path, "a"), {"x": Broken()}, scratch=tmp_path)
    assert run_file(tmp_path, "a").read_bytes() == before
    assert {path.name for path in tmp_path.rglob("*")} == {"runs", "a.npz"}


# --- which are done -------------------------------------------------------------------


def test_a_run_is_done_when_its_record_is_there(tmp_path):
    assert done_runs(tmp_path, NAMES) == set()
    write(tmp_path, "sprites/a", kl=np.zeros(3))
    write(tmp_path, "of another sweep", kl=np.zeros(3))
    assert done_runs(tmp_path, NAMES) == {"sprites/a"}


@pytest.mark.parametrize(
    "spoil",
    [
        flip,
        lambda file: file.write_bytes(file.read_bytes()[:-200]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_text("no archive"),
    ],
    ids=["flipped", "torn", "empty", "other"],
)
def test_a_damaged_record_is_not_done_and_said_once(tmp_path, caplog, spoil):
    write(tmp_path, "c", kl=np.random.default_rng(0).random(1000))
    spoil(run_file(tmp_path, "c"))
    assert [done_runs(tmp_path, NAMES) for _ in range(2)] == [set(), set()]
    assert caplog.text.count(f"{run_file(tmp_path, 'c')} is damaged") == 1


def test_a_record_that_was_damaged_and_is_made_again_is_done(tmp_path):
    write(tmp_path, "c", kl=np.zeros(100))
    flip(run_file(tmp_path, "c"))
    assert not is_whole(run_file(tmp_path, "c"))
    write(tmp_path, "c", kl=np.zeros(101))
    assert is_whole(run_file(tmp_path, "c"))


def test_a_record_that_cannot_be_read_is_refused_and_not_taken_for_damaged(tmp_path, caplog):
    write(tmp_path, "c", kl=np.zeros(100))
    make_unreadable(run_file(tmp_path, "c"))
    for read in (lambda: done_runs(tmp_path, NAMES), lambda: over_runs(tmp_path, NAMES, ["kl"])):
        with pytest.raises(OSError, match=MESSAGE.format(r"c\.npz")):
            read()
    assert caplog.text == ""
    make_readable(run_file(tmp_path, "c"))
    assert done_runs(tmp_path, NAMES) == {"c"}


def test_what_is_no_regular_file_is_not_done(tmp_path):
    run_file(tmp_path, "c").mkdir(parents=True)
    assert done_runs(tmp_path, NAMES) == set()


def test_a_record_is_read_once_as_long_as_it_does_not_change(tmp_path):
    write(tmp_path, "c", kl=np.zeros(100))
    done_runs(tmp_path, NAMES)
    before = records._is_whole.cache_info().misses
    assert done_runs(tmp_path, NAMES) == {"c"}
    assert records._is_whole.cache_info().misses == before


# --- many as arrays -------------------------------------------------------------------


def test_runs_that_are_missing_or_damaged_or_lack_an_array_are_nan_or_zero(tmp_path):
    names = ("whole", "missing", "damaged", "failed")
    kl, geometry = np.array([1.0, 2.0], np.float32), np.ones((2, 3000))
    for name in ("whole", "damaged"):
        write(tmp_path, name, kl=kl, count=np.array([7, 8]), geometry=geometry, more=kl)
    write(tmp_path, "failed", kl=kl + 1, count=np.array([9, 9]))
    flip(run_file(tmp_path, "damaged"))
    found = over_runs(tmp_path, names, ("kl", "count", "geometry", "of no run"))
    assert set(found) == {"kl", "count", "geometry"}
    nan = [np.nan, np.nan]
    np.testing.assert_array_equal(found["kl"], [kl, nan, nan, kl + 1])
    assert found["kl"].dtype == np.float32
    np.testing.assert_array_equal(found["count"], [[7, 8], [0, 0], [0, 0], [9, 9]])
    np.testing.assert_array_equal(np.isnan(found["geometry"]).all(axis=(1, 2)), [0, 1, 1, 1])


def test_words_are_kept_and_absent_ones_are_empty(tmp_path):
    write(tmp_path, "b", layer=np.array(["input", "mean"]))
    found = over_runs(tmp_path, ("a", "b"), ("layer",))
    assert found["layer"].tolist() == [["", ""], ["input", "mean"]]


@pytest.mark.parametrize("other", [np.zeros(3), np.zeros(()), np.zeros(2, np.float32)])
def test_arrays_that_do_not_fit_together_are_refused_with_the_name_of_the_file(tmp_path, other):
    write(tmp_path, "a", kl=np.zeros(2))
    write(tmp_path, "b", kl=other)
    with pytest.raises(ValueError, match=r"expected kl of shape \(2,\) and type float64 in .*b\.n"):
        over_runs(tmp_path, ("a", "b"), ("kl",))


def test_the_settings_of_a_file_that_is_no_record_are_refused_by_name(tmp_path):
    write_arrays(tmp_path / "x.npz", {"kl": np.zeros(1)}, scratch=tmp_path)
    with pytest.raises(ValueError, match=r"x\.npz"):
        read_settings_of(tmp_path / "x.npz")


def test_runs_that_share_settings_but_the_seed_are_told_apart():
    assert len({CONFIG, dataclasses.replace(CONFIG, seed=6), dataclasses.replace(CONFIG)}) == 2
