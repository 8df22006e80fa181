"""Checks of the sizes of networks, and that they can divide images as often as they do."""

from collections.abc import Sequence

from jaxvae.files.refusals import as_count


def checked_widths(widths: Sequence[int]) -> tuple[int, ...]:
    """The widths of layers as `int`s.

    Raises:
        ValueError: for widths that are not whole numbers of at least 1.
    """
    refusal = f"expected widths of at least 1, got {list(widths)}"
    return tuple(as_count(width, refusal, least=1) for width in widths)


def refuse_indivisible(size: Sequence[int], divisor: int, what: str) -> None:
    """Refuse images whose sides are no multiples of a number.

    Args:
        size: height and width.
        divisor: number that divides both.
        what: the network does with it, such as `for 4 convolutions of stride 2`.

    Raises:
        ValueError: says which size would do; also for a side or a number below 1.
    """
    height, width = size
    if min(height, width, divisor) < 1:
        raise ValueError(
            f"expected height, width and their divisor of at least 1 {what}, got {height} x "
            f"{width} and {divisor}"
        )
    if height % divisor or width % divisor:
        fitting = -(-max(height, width) // divisor) * divisor
        raise ValueError(
            f"expected height and width divisible by {divisor} {what}, got {height} x {width}; "
            f"resize the images, such as by image_size {fitting}, or take a network without such "
            "a limit, such as dense_vae"
        )
