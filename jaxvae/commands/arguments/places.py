"""Files and folders as they are written on the command line."""

import argparse
import os
from pathlib import Path


def place(text: str) -> Path:
    """A path; `~` is the home folder also in quotes and after `=`, where no shell expands it.

    Raises:
        argparse.ArgumentTypeError: for no letter, which would be the current folder.
    """
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got none")
    # The name of no user stays as it is, where `Path.expanduser` would end the program.
    return Path(os.path.expanduser(text))
