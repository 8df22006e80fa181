"""The folder of results: whole files, its own settings, one process at a time."""

import dataclasses
import errno
import fcntl
import os
import subprocess
import sys

import pytest

from jaxvae.files.whole import remove_leftovers, write_whole
from jaxvae.runs.folder import (
    BusyError,
    refuse_other_settings,
    sole_process,
    stored_settings,
    write_settings,
)
from tests.files.disks import without_locks
from tests.files.unreadable import MESSAGE, make_unreadable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    size: int = 3
    rate: float = 0.1
    sizes: tuple[int, ...] = (1, 2)
    limit: int | None = None


def check(out, config, extendable=()):
    file, settings = out / "config.json", dataclasses.asdict(config)
    refuse_other_settings(file, stored_settings(file), settings, extendable=extendable)


def write(out, config):
    write_settings(out / "config.json", dataclasses.asdict(config))


def test_a_folder_that_does_not_exist_holds_no_other_settings(tmp_path):
    check(tmp_path / "new", Config())
    assert not (tmp_path / "new").exists()


def test_the_same_settings_are_accepted_again(tmp_path):
    write(tmp_path / "out", Config())
    check(tmp_path / "out", Config())


def test_other_settings_are_refused_by_name_and_value(tmp_path):
    write(tmp_path, Config())
    with pytest.raises(ValueError, match=r"rate 0\.1 \(now 0\.2\), size 3 \(now 4\); choose"):
        check(tmp_path, Config(size=4, rate=0.2))


def test_settings_that_only_add_work_may_change(tmp_path):
    write(tmp_path, Config())
    check(tmp_path, Config(sizes=(1, 2, 3)), extendable=("sizes",))


def test_a_setting_within_a_setting_that_an_older_folder_lacks_counts_as_none(tmp_path):
    file = tmp_path / "config.json"
    write_settings(file, {"run": {"size": 3}})
    refuse_other_settings(file, stored_settings(file), {"run": {"size": 3, "limit": None}})
    with pytest.raises(ValueError, match=r"run limit not given \(now 4\)"):
        refuse_other_settings(file, stored_settings(file), {"run": {"size": 3, "limit": 4}})


def test_what_is_absent_within_a_setting_of_a_setting_does_not_count_as_none(tmp_path):
    file = tmp_path / "config.json"
    write_settings(file, {"run": {"options": {"width": None}}})
    with pytest.raises(ValueError, match=r"run options \{'width': None\} \(now \{\}\)"):
        refuse_other_settings(file, stored_settings(file), {"run": {"options": {}}})


@pytest.mark.parametrize(
    "content", [b'{"size": ', b"[1]", b"3", b"\xff", b"[" * 100_000], ids=range(5)
)
def test_settings_that_cannot_be_read_are_refused(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"expected settings in .*config\.json"):
        check(tmp_path, Config())


def test_settings_behind_an_error_of_the_disk_are_not_taken_for_absent(tmp_path):
    write(tmp_path, Config())
    make_unreadable(tmp_path / "config.json")
    with pytest.raises(OSError, match=MESSAGE.format(r"config\.json")):
        check(tmp_path, Config())


def test_a_folder_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="expected a folder that can be written for --out"):
        write(tmp_path / "file" / "out", Config())


# --- files that are whole or absent ---------------------------------------------------


def test_a_file_is_written_with_the_folders_above_it(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    write_whole(path, lambda part: part.write_text("whole"))
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_the_writer_sees_the_same_ending(tmp_path):
    write_whole(tmp_path / "file.npz", lambda part: part.write_text(part.suffix))
    assert (tmp_path / "file.npz").read_text() == ".npz"


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_file_follows_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_whole(tmp_path / "file.txt", lambda part: part.write_text("whole"))
    finally:
        os.umask(before)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o666 & ~mask


def test_what_a_kill_left_half_written_is_removed_and_nothing_else(tmp_path):
    write = (
        "import sys, time; from pathlib import Path; from jaxvae.files.whole import *\n"
        "out = Path(sys.argv[1])\n"
        "with whole_folder(out / 'deep' / 'taps') as part:\n"
        "    (part / 'file').touch()\n"
        "    write_whole(out / 'b.txt', lambda part: (print('there', flush=True), time.sleep(99)))"
    )
    (tmp_path / ".hidden.part").touch()
    with subprocess.Popen(
        [sys.executable, "-c", write, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"there\n"
        written = sorted(tmp_path.rglob("*"))
        # While it runs, nothing is taken from it.
        remove_leftovers(tmp_path)
        assert sorted(tmp_path.rglob("*")) == written
        process.kill()
    with sole_process(tmp_path):
        names = {path.name for path in tmp_path.rglob("*")}
    assert names == {".hidden.part", ".lock", "deep"}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(part):
        part.write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match=r"expected to write .*file\.txt, got: disk full"):
        write_whole(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# --- one process at a time ------------------------------------------------------------

HOLD = (
    "import sys; from pathlib import Path; from jaxvae.runs.folder import sole_process\n"
    "with sole_process(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def holder(tmp_path):
    """Another process at work in the folder."""
    pipe = subprocess.PIPE
    arguments = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(arguments, stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path, holder):
    with pytest.raises(BusyError, match="no other process at work"), sole_process(tmp_path):
        pass
    holder.kill()
    holder.wait()
    with sole_process(tmp_path):
        pass


def test_a_folder_is_free_again_after_use(tmp_path):
    for _ in range(2):
        with sole_process(tmp_path):
            pass


def test_a_folder_on_a_disk_without_locks_is_worked_in(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", without_locks)
    with sole_process(tmp_path):
        write(tmp_path, Config())
    assert stored_settings(tmp_path / "config.json")["size"] == 3


def test_an_error_of_the_lock_that_is_no_lack_of_locks_is_raised(tmp_path, monkeypatch):
    def broken(descriptor, operation):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), sole_process(tmp_path):
        pass
