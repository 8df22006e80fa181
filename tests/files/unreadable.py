"""Files that the system finds and does not read, as on a disk that fails."""

import os
from pathlib import Path

import pytest

# Where nothing of this process is: to read there is an error of input and output.
_NOWHERE = Path("/proc/self/mem")
MESSAGE = r"expected to read .*{}, got: Input/output error. It was left as it is"


def make_unreadable(file):
    """In its place there is a regular file that cannot be read."""
    if not _NOWHERE.is_file():
        pytest.skip("this system has no file that cannot be read")
    aside = file.with_name(f"{file.name}.aside")
    os.rename(file, aside)
    file.symlink_to(_NOWHERE)


def make_readable(file):
    """As it was."""
    file.with_name(f"{file.name}.aside").replace(file)
