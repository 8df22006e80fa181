"""The prepared sets of real images, where there are any."""

import os
from pathlib import Path

import pytest

DATA = os.environ.get("TFDS_DATA_DIR")


def needs(name):
    """For the slow run, which is told where the images are."""
    absent = pytest.mark.skipif(
        DATA is None or not (Path(DATA) / name).is_dir(),
        reason=f"no {name} images: TFDS_DATA_DIR names the folder of prepared sets",
    )
    return lambda test: pytest.mark.slow(absent(test))
