"""Nulls: the values of a metric on unstructured data of the same size.

A metric is any function `f(*arrays)` of arrays whose rows are the same points; it
returns a scalar, or a tree of arrays such as `Dimension` or a matrix over layers,
and every statistic here is taken leaf by leaf.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from jaxvae.files.refusals import as_count
from jaxvae.geometry.arrays import as_point_array, as_row_array
from jaxvae.geometry.float32 import from_first_row
from jaxvae.geometry.host import numpy_of
from jaxvae.geometry.points import same_length
from jaxvae.metrics.resample import (
    Metric,
    as_arrays,
    generator_of,
    mean_over,
    rows_of,
    spread_over,
    stacked,
)
from jaxvae.typing import ArrayLike, EitherArray, Key

# Rows of a Gaussian cloud made at a time: memory grows as this times n, never as n * n.
_BLOCK = 1024
# A column keeps its mean up to this many times its spread.
_LARGEST_MEAN = 2.0**7
# Spreads within this are those of float32, as are those of columns that spread far less.
_RANGE = 2.0**-80, 2.0**100
_PRECISE = {"precision": jax.lax.Precision.HIGHEST}


class Null(NamedTuple):
    """A metric on unstructured data of the same size; every field has the form of its result.

    Attributes:
        mean: over the draws.
        spread: standard deviation of one draw: how far from `mean` a metric of
            such data falls by chance. Of 5 draws it is known to 35% alone: such
            data then fall beyond twice the spread in 14%, of 20 draws in 7%.
        values: `[draws, ...]`.
    """

    mean: Any
    spread: Any
    values: Any


def unrelated_null(key: Key, metric: Metric, *arrays: ArrayLike, draws: int = 20) -> Null:
    """A metric between representations that have nothing to do with each other.

    The rows of every array but the first are permuted, each array by its own
    permutation: every array keeps its cloud, and rows match by chance alone. It is
    what imbalance, overlap, CKA, Procrustes and CCA give by chance: 1 for
    imbalance, about `p / (p + n - 1)` for linear CKA of white data in p
    dimensions.

    Args:
        key: key of the permutations.
        metric: `f(*arrays)`, such as a matrix over layers.
        *arrays: two or more, each `[n, ...]`; labels `[n]` are such an array.
        draws: at least 2.

    Returns:
        `Null`.

    Raises:
        ValueError: for fewer than two arrays, fewer than 2 draws, different n,
            what is no key or a traced one, and what the metric refuses.
    """
    if len(arrays) < 2:
        raise ValueError(
            f"expected at least two arrays, which are made unrelated, got {len(arrays)}"
        )
    arrays = tuple(map(as_row_array, arrays))
    n = same_length(*arrays)

    def draw(generator: np.random.Generator) -> Any:
        shuffled = [rows_of(array, generator.permutation(n)) for array in arrays[1:]]
        return metric(arrays[0], *shuffled)

    return _null(key, draw, draws)


def gaussian_null(key: Key, metric: Metric, *arrays: ArrayLike, draws: int = 20) -> Null:
    """A metric on Gaussian clouds with the shape, mean and covariance of the data.

    What a metric owes to n, the width and the linear structure alone. For the
    intrinsic dimension it holds the finite-sample bias, which grows with the
    dimension; data on a curved or clustered set have a lower dimension than
    their null, and pure noise has that of its null. Arrays are drawn
    independently of each other.

    A row is the mean plus a random combination of the centered rows of the data,
    `sum_i g_i (x_i - mean) / sqrt(n - 1)`, with standard normal g. In columns whose mean is
    more than 128 times as large as their spread it is left out, since float32 would round
    the spread away beside it; no metric here sees a shift.

    Args:
        key: key of the clouds.
        metric: `f(*arrays)`; it gets arrays of the shapes given, of float32, or of float64
            where float32 does not reach so far.
        *arrays: each `[n, ...]`, of real numbers.
        draws: at least 2.

    Returns:
        `Null`.

    Raises:
        ValueError: for no arrays, fewer than 2 draws or 2 points, different n,
            what is no key or a traced one, and what the metric refuses.
    """
    arrays = tuple(map(as_point_array, arrays))
    if len(arrays) == 0 or same_length(*arrays) < 2:
        shapes = ", ".join(str(array.shape) for array in arrays) or "no array"
        raise ValueError(f"expected at least one array and two points, got {shapes}")

    def draw(generator: np.random.Generator) -> Any:
        return metric(*(_gaussian_like(generator, array) for array in arrays))

    return _null(key, draw, draws)


def _null(key: Key, draw: Callable[[np.random.Generator], Any], draws: int) -> Null:
    draws = as_count(draws, f"expected at least 2 draws, got {draws}", least=2)
    values = stacked([draw(one) for one in generator_of(key).spawn(draws)])
    return as_arrays(Null(mean_over(values), spread_over(values), values))


def _gaussian_like(generator: np.random.Generator, array: ArrayLike) -> Float[EitherArray, "n ..."]:
    deviations = from_first_row(array)
    numpy, shift = numpy_of(deviations), deviations.mean(axis=0)
    centered = deviations - shift
    center, spread = array[0] + shift, numpy.abs(centered).max(axis=0)
    kept = (spread == 0) | (numpy.abs(center) <= _LARGEST_MEAN * spread)
    center = numpy.where(kept, center, 0)
    if numpy is np and _is_beyond_float32(spread.max(), abs(center).max()):
        exponent = np.frexp(spread.max())[1]
        cloud = _combined(generator, np.ldexp(centered, -exponent)).astype(np.float64)
        return np.ldexp(cloud, exponent) + center.astype(np.float64)
    return _combined(generator, centered) + center.astype(np.float32)


def _is_beyond_float32(spread: float, center: float) -> bool:
    """Whether the largest spread or center leave no room for random combinations of rows."""
    least, most = _RANGE
    return 0 < spread < least or max(spread, center) > most


def _combined(
    generator: np.random.Generator, centered: Float[EitherArray, "n ..."]
) -> Float[EitherArray, "n ..."]:
    """Random combinations of the rows, as many as there are, in float32."""
    numpy, flat = numpy_of(centered), centered.astype(np.float32).reshape(len(centered), -1)
    drawn = [
        # Rounding to fewer digits would add dimensions of its own.
        numpy.matmul(weights, flat, **({} if numpy is np else _PRECISE))
        for weights in _weights(generator, len(centered))
    ]
    return numpy.concatenate(drawn).reshape(centered.shape)


def _weights(generator: np.random.Generator, n: int) -> Iterator[Float[np.ndarray, "b n"]]:
    """The weights of the rows of the data in every row of a Gaussian cloud, some rows at a time."""
    for start in range(0, n, _BLOCK):
        shape = min(_BLOCK, n - start), n
        yield generator.standard_normal(shape, dtype=np.float32) / np.float32((n - 1) ** 0.5)
