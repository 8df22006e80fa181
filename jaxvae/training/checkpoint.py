"""Snapshots of any tree of arrays, written whole or not at all."""

import shutil
from pathlib import Path
from typing import TypeVar

from orbax.checkpoint import v1 as ocp

Tree = TypeVar("Tree")

_PREFIX = "step-"


def save(directory: Path, step: int, tree: Tree) -> None:
    """Write `tree` under `directory` as the snapshot of `step`.

    The snapshot appears under its name only when it is complete; one that is
    there already is replaced.

    Args:
        directory: made where absent.
        step: a count that orders the snapshots.
        tree: arrays, typed PRNG keys and NamedTuples of them.
    """
    ocp.save((directory / f"{_PREFIX}{step:010d}").absolute(), tree, overwrite=True)


def load(directory: Path, step: int, like: Tree) -> Tree:
    """The snapshot of `step`, in the structure, shapes and dtypes of `like`.

    Args:
        directory: where `save` put it.
        step: one of `steps(directory)`.
        like: a tree of arrays or of `jax.ShapeDtypeStruct`.

    Raises:
        ValueError: if there is no such snapshot.
    """
    if step not in steps(directory):
        raise ValueError(f"expected a snapshot among {steps(directory)} in {directory}, got {step}")
    return ocp.load((directory / f"{_PREFIX}{step:010d}").absolute(), like)


def steps(directory: Path) -> list[int]:
    """The complete snapshots under `directory`, ascending."""
    names = [path.name for path in directory.glob(f"{_PREFIX}*")]
    return sorted(int(name.removeprefix(_PREFIX)) for name in names if name[5:].isdigit())


def keep_latest(directory: Path) -> None:
    """Remove all snapshots but the latest, and what an interrupted `save` left."""
    complete = steps(directory)
    for path in directory.glob(f"{_PREFIX}*"):
        if complete and path.name != f"{_PREFIX}{complete[-1]:010d}":
            shutil.rmtree(path)
