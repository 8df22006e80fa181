"""Images without copies: two equal images are neighbors whatever a model does with them."""

import hashlib

import numpy as np
from jaxtyping import Int, UInt8


def first_distinct(images: UInt8[np.ndarray, "n ..."], most: int) -> Int[np.ndarray, " m"]:
    """The places of the first images that differ from all before them, ascending.

    Args:
        images: bytes.
        most: how many are wanted; fewer come where fewer are distinct.
    """
    places: dict[bytes, int] = {}
    for place, image in enumerate(images):
        if len(places) == most:
            break
        places.setdefault(hashlib.blake2b(image.tobytes(), digest_size=16).digest(), place)
    return np.fromiter(places.values(), int, len(places))
