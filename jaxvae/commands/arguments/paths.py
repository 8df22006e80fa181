"""Files and folders as they are written on the command line."""

import argparse
import os
from pathlib import Path


def as_path(text: str) -> Path:
    """A path; `~` is the home folder also in quotes and after `=`, where no shell expands it.

    Raises:
        argparse.ArgumentTypeError: for an empty text, which would be the current folder.
    """
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty text")
    # The name of no user stays as it is, where `Path.expanduser` would end the program.
    return Path(os.path.expanduser(text))


def data_set(text: str) -> str:
    """The name of a data set, or its path in full, which does not depend on the current folder."""
    path = os.path.expanduser(text)
    if not (path.startswith((os.sep, ".")) or path.endswith(os.sep) or os.path.exists(path)):
        return text
    # It needs NumPy, which help does without.
    from jaxvae.data.names import own_place  # noqa: PLC0415
    from jaxvae.data.prepared import data_directory  # noqa: PLC0415

    own_path = own_place(text, data_directory(None))
    return text if own_path is None else os.path.abspath(own_path)
