"""Files that many write into one folder at a time appear whole, and what is left is removed."""

import os
import subprocess
import sys

from jaxvae.files.whole import hidden_folder, write_whole

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


def test_what_a_killed_process_left_is_removed_and_what_is_held_is_not(tmp_path):
    left = tmp_path / f".{'0' * 32}.part"
    left.mkdir()
    (left / "half").touch()
    with hidden_folder(tmp_path) as held:
        write_whole(tmp_path / "file", lambda path: path.write_text("x"))
        assert sorted(tmp_path.iterdir()) == sorted([held, tmp_path / "file"])
    assert os.listdir(tmp_path) == ["file"]
