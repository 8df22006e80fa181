"""How often the fewest latents that images are said to need are more than they need.

Images of a known dimension are drawn and rounded to bytes. Expected: too many in at most 5% of
every row.
"""

from itertools import product
from typing import Any

import numpy as np

from benchmarks.advise import IMAGES
from jaxvae.advising.data import data_dimension
from jaxvae.data.distinct import first_distinct
from jaxvae.report.tables import markdown_table

TEXT = """## The fewest latents that images need

`jaxvae advise` names no size below the dimension that the images surely have
(`jaxvae.advising.data.DataDimension.fewest_latents`): the smallest of TwoNN, Gride over scales, and
TwoNN after smoothing, less three standard errors, rounded up. It excludes no size where an estimate
is in doubt, for example because the largest, Gride after smoothing included, is more than 1.5 times
the smallest.

The table is of images of 28 x 28 pixels, rounded to bytes: of a linear-Gaussian model of some rank,
or of an ellipse with some free factors; of ellipses that are black and white, whose sharp edges
double the dimension at all scales; and of an arm with some joints, each of which turns all the way
round, so that the images curve and the dimension is too large among far neighbors, and with three
joints also among near ones. What is counted as an error is a number of latents that is too large.
An entry gives the percentage of draws.

{table}

It is too large in {worst:.1f}% of the draws of the worst row.
"""
TRUTHS = (
    *product(["linear"], (1, 2, 3, 4, 6, 8, 12)),
    *product(["ellipses"], range(1, 6)),
    *product(["black and white"], (2, 3, 4)),
    *product(["arm"], (1, 2, 3)),
)
POINTS = (500, 2000)
_SIDE, _WIDTH = 28, 0.05


def _black_and_white(count: int, random: np.random.Generator, n: int) -> np.ndarray:
    return np.where(IMAGES["ellipses"](count, random, n) > 127, np.uint8(255), np.uint8(0))


def arm_images(count: int, random: np.random.Generator, n: int) -> np.ndarray:
    """Bytes of an arm of so many parts of equal length, each at any angle to the last."""
    y, x = (np.mgrid[:_SIDE, :_SIDE] + 0.5) / _SIDE
    length = 0.4 / count
    drawn = np.zeros((n, _SIDE, _SIDE))
    from_x = from_y = np.full((n, 1, 1), 0.5)
    for angle in random.uniform(0, 2 * np.pi, (count, n, 1, 1)):
        right, down = length * np.cos(angle), length * np.sin(angle)
        # The nearest place on this part, from 0 at its joint to 1.
        at = np.clip(((x - from_x) * right + (y - from_y) * down) / length**2, 0, 1)
        squared = (x - from_x - at * right) ** 2 + (y - from_y - at * down) ** 2
        drawn = np.maximum(drawn, np.exp(-squared / 2 / _WIDTH**2))
        from_x, from_y = from_x + right, from_y + down
    return np.rint(255 * drawn).astype(np.uint8)


_IMAGES = IMAGES | {"black and white": _black_and_white, "arm": arm_images}
_OUTCOMES = ("too large", "exact", "too small", "in doubt")


def rates(kind: str, dimension: int, *, points: int, draws: int) -> dict[str, Any]:
    """Shares of draws by how the number compares with the truth."""
    random = np.random.default_rng((list(_IMAGES).index(kind), dimension, points))
    counts = dict.fromkeys(_OUTCOMES, 0)
    for _ in range(draws):
        images = _IMAGES[kind](dimension, random, points)
        fewest = data_dimension(images[first_distinct(images, points)]).fewest_latents
        above = np.sign(fewest - dimension)
        counts["in doubt" if fewest == 0 else ("exact", "too large", "too small")[above]] += 1
    shares = {name: count / draws for name, count in counts.items()}
    return {"images": kind, "dimension": dimension, "points": points, **shares}


def records(draws: int) -> list[dict[str, Any]]:
    """Draw images of all truths and numbers."""
    return [
        rates(kind, dimension, points=points, draws=draws)
        for (kind, dimension), points in product(TRUTHS, POINTS)
    ]


def section(records: list[dict[str, Any]]) -> str:
    """The section of docs/statistics.md."""
    rows = [
        {
            "images": f"{one['images']} {one['dimension']}",
            "n": f"{one['points']:,}",
            **{name: f"{100 * one[name]:.0f}" for name in _OUTCOMES},
        }
        for one in records
    ]
    worst = 100 * max(one["too large"] for one in records)
    return TEXT.format(table=markdown_table(rows, left=["images"]), worst=worst)
