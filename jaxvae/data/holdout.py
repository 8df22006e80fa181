"""Which images of a set are for training, and which are held out."""

import re

import numpy as np

from jaxvae.data.distinct import digest_of

TRAIN = ("train", "training")
"""Names of a split for training."""

HELD_OUT = ("test", "testing", "validation", "val", "valid", "dev", "eval")
"""Names of a split for testing, the first that exists being taken."""

_LARGEST = 10_000


def parts_of(name: str) -> list[str]:
    """The parts of a name of images, one of which may be that of a split."""
    return re.split(r"[_/.\-\s]+", name)


def held_out_names(splits: list[str], *, besides: str) -> list[str]:
    """The splits that may be held out, as they are written, the first to be taken first."""
    known = {name.lower(): name for name in splits if name != besides}
    return [known[name] for name in HELD_OUT if name in known]


def chosen_splits(splits: list[str], asked: str | None, what: str) -> tuple[str, str | None] | None:
    """The split to train on, and the one to test on, if there is one.

    Args:
        splits: the names of all of them.
        asked: `TRAIN` or `TRAIN/TEST`; None for those that are known by their names.
        what: the set, in words.

    Returns:
        Both names, or None where nothing is asked for and no name is known.

    Raises:
        ValueError: for splits that are asked for and not there, and for one name twice.
    """
    if asked is not None:
        fit, _, held_out = asked.partition("/")
        named = [fit, held_out] if "/" in asked else [fit]
        if len(set(named)) < len(named):
            raise ValueError(
                f"expected two different splits of {what} to train on and to hold out, got split "
                f"{asked}; split={fit} alone holds a tenth of it out"
            )
        if any(name not in splits for name in named):
            raise ValueError(
                f"expected a split of {what} as TRAIN, or two as TRAIN/TEST, among "
                f"{', '.join(splits) or 'none'}; got split {asked}"
            )
        return fit, held_out or None
    fits = [name for name in splits if name.lower() in TRAIN]
    for fit in fits[:1]:
        return fit, next(iter(held_out_names(splits, besides=fit)), None)
    return None


def held_out_tenth(count: int, what: str) -> tuple[np.ndarray, np.ndarray]:
    """The places of the images to train on, and of those to hold out, in a fixed shuffle.

    The first tenth of `numpy.random.RandomState(0).permutation(n)`, at most 10,000, is held out.

    Raises:
        ValueError: where a tenth is not one image.
    """
    # RandomState, unlike Generator, promises the same numbers in every version of NumPy.
    order = np.random.RandomState(0).permutation(count)
    held_out = min(count // 10, _LARGEST)
    if held_out == 0:
        raise ValueError(
            f"expected at least 10 images in {what}, a tenth of which is held out, or "
            f"a split for testing ({', '.join(HELD_OUT)}); got {count}"
        )
    return order[held_out:], order[:held_out]


def remarks_on_copies(train: np.ndarray, test: np.ndarray) -> list[str]:
    """A remark on held-out images that are also among those to train on, if any are.

    Args:
        train: images as bytes, `[n, h, w, c]`.
        test: the held-out ones.
    """
    held_out = [digest_of(image) for image in test]
    known = set(held_out)
    copied = {digest for digest in map(digest_of, train) if digest in known}
    count = sum(digest in copied for digest in held_out)
    if count == 0:
        return []
    return [f"{count:,} of {len(test):,} held-out images are also among the training images"]
