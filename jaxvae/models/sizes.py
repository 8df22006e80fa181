"""Checks that a network can divide the sides of images as often as it does."""

from collections.abc import Sequence


def refuse_indivisible(size: Sequence[int], divisor: int, what: str) -> None:
    """Refuse images whose sides are no multiples of a number.

    Args:
        size: height and width.
        divisor: number that divides both.
        what: the network does with it, such as `for 4 convolutions of stride 2`.

    Raises:
        ValueError: says which size would do.
    """
    height, width = size
    if height % divisor or width % divisor:
        fitting = -(-max(height, width) // divisor) * divisor
        raise ValueError(
            f"expected height and width divisible by {divisor} {what}, got {height} x {width}; "
            f"resize the images, such as by image_size {fitting}, or take a network without such "
            "a limit, such as dense_vae"
        )
