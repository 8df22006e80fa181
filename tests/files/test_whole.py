"""Files that many write into one folder at a time appear whole, and what is left is removed."""

import fcntl
import os
import subprocess
import sys

import pytest

from jaxvae.files.whole import hidden_folder, remove_leftovers, write_whole
from tests.files.disks import set_age, without_locks

WRITER = """
import sys
from pathlib import Path
from jaxvae.files.whole import write_whole
sys.stdin.readline()
for number in range(60):
    write_whole(Path(sys.argv[1], f"{sys.argv[2]}-{number}"), lambda path: path.write_text("x"))
"""


def test_processes_that_write_into_one_folder_leave_each_other_alone(tmp_path):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(writer)],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for writer in range(3)
    ]  # fmt: skip
    said = [writer.stdin.write("go\n") and writer.stdin.flush() for writer in writers]
    said = [writer.communicate()[1] for writer in writers]
    assert said == [""] * 3
    assert sorted(os.listdir(tmp_path)) == sorted(f"{w}-{n}" for w in range(3) for n in range(60))


KILLED = """
import os, sys
from pathlib import Path
from jaxvae.files.whole import hidden_folder
with hidden_folder(Path(sys.argv[1])) as folder:
    (folder / "half").touch()
    os._exit(1)
"""


@pytest.fixture
def left(tmp_path):
    """What a killed process of this machine was writing."""
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    (folder,) = tmp_path.iterdir()
    assert [path.name for path in folder.iterdir()] == ["half"]
    return folder


@pytest.fixture
def elsewhere(left):
    """The same of another machine, whose locks are not seen here."""
    name = f".{'0' * 8}{left.name[9:]}"
    return left.rename(left.with_name(name))


def test_what_a_killed_process_left_is_removed_and_what_is_held_is_not(tmp_path, left):
    with hidden_folder(tmp_path) as held:
        write_whole(tmp_path / "file", lambda path: path.write_text("x"))
        assert sorted(tmp_path.iterdir()) == sorted([held, tmp_path / "file"])
    assert os.listdir(tmp_path) == ["file"]


ENDS_AT = """
import os, shutil, sys
from pathlib import Path
from jaxvae.files.whole import whole_folder
def interrupt():
    raise KeyboardInterrupt
ways = {"kill": lambda: os._exit(1), "interrupt": interrupt}
rename, calls = Path.rename, []
def ends(path, target):
    rename(path, target)
    calls.append(path)
    if len(calls) == int(sys.argv[3]):
        ways[sys.argv[2]]()
Path.rename = ends
if sys.argv[3] == "3":
    shutil.rmtree = lambda *_, **__: ways[sys.argv[2]]()
with whole_folder(Path(sys.argv[1], "folder")) as part:
    (part / "new").touch()
"""


@pytest.mark.parametrize("way", ["kill", "interrupt"])
@pytest.mark.parametrize(("renames", "kept"), [(1, "old"), (2, "new"), (3, "new")])
def test_a_folder_is_old_or_new_wherever_its_replacement_ends(tmp_path, way, renames, kept):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").touch()
    ended = [sys.executable, "-c", ENDS_AT, str(tmp_path), way, str(renames)]
    assert subprocess.run(ended, stderr=subprocess.DEVNULL, check=False).returncode != 0
    remove_leftovers(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*/*")] == [f"folder/{kept}"]


def test_of_a_folder_that_is_removed_nothing_comes_back(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").touch()
    ended = [sys.executable, "-c", ENDS_AT, str(tmp_path), "kill", "3"]
    subprocess.run(ended, stderr=subprocess.DEVNULL, check=False)
    (tmp_path / "folder").rename(tmp_path / "elsewhere")
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["elsewhere"]


def test_what_is_held_is_kept_however_old_it_is(tmp_path):
    with hidden_folder(tmp_path) as held:
        set_age(held, 10**6)
        remove_leftovers(tmp_path)
        assert held.is_dir()


@pytest.mark.parametrize(
    ("folder", "file", "stays"),
    [(0, 0, True), (0, 90_000, True), (90_000, 0, True), (90_000, 90_000, 0)],
)
def test_what_another_machine_writes_is_kept_until_nothing_of_it_has_changed_for_a_day(
    tmp_path, elsewhere, folder, file, stays
):
    set_age(elsewhere / "half", file)
    set_age(elsewhere, folder)
    write_whole(tmp_path / "file", lambda path: path.write_text("x"))
    assert elsewhere.exists() == stays


def test_on_a_disk_without_locks_what_is_left_is_removed_after_a_day(tmp_path, left, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", without_locks)
    remove_leftovers(tmp_path)
    assert left.exists()
    for path in (left / "half", left):
        set_age(path, 90_000)
    remove_leftovers(tmp_path)
    assert not left.exists()
