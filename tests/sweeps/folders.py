"""What a sweep left in its folder."""

import numpy as np


def contents(out):
    """All records, by their place, with their bytes' meaning: arrays, bit by bit."""
    found = {}
    for file in sorted(path for path in out.rglob("*.npz") if ".part" not in str(path)):
        with np.load(file) as archive:
            found[str(file.relative_to(out))] = {
                name: (archive[name].dtype.str, archive[name].shape, archive[name].tobytes())
                for name in archive
            }
    return found


def tree(out):
    """Folders and files, apart from those of Orbax, which have names of their own."""
    return sorted(
        str(path.relative_to(out)) for path in out.rglob("*") if "/tree/" not in str(path)
    )
