"""Squared distances finer than float64 resolves, as unevaluated sums of three float32.

Products and differences of float32 numbers are rounded; the error-free transformations
of Dekker (1971) and Knuth (1969) return what was rounded off as well, and carrying it
along sums as if in threefold precision (Ogita, Rump and Oishi 2005). Only additions
are used, and products that are exact: a compiler that fuses the two changes nothing.

The same lines work on arrays of NumPy, where nothing is compiled, and while JAX traces.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxvae.geometry.distances import in_column_chunks
from jaxvae.geometry.host import as_bits, from_bits
from jaxvae.geometry.points import Points
from jaxvae.typing import EitherArray

# What two sums of squares must differ by, relative, not to count as equal.
_RESOLUTION = 2.0**-56
# Steps of a loop over features: on an accelerator each takes some microseconds, however little
# it does.
_MOST_STEPS = 64


class Expansion(NamedTuple):
    """The sum of three float32 numbers, each below the rounding of the one before."""

    first: Float[EitherArray, "*shape"]
    second: Float[EitherArray, "*shape"]
    third: Float[EitherArray, "*shape"]


def precise_distances(
    points: Points, i: Int[EitherArray, "*#batch"], j: Int[EitherArray, "*#batch"]
) -> Expansion:
    """Squared distances of points i to points j."""
    rest = None if points.rest is None else (points.rest[i], points.rest[j])
    pairs = (points.values[i], points.values[j]), rest
    if isinstance(points.values, np.ndarray):
        total = _by_halves(_square(_difference(*pairs)))
    else:
        total = _by_steps(pairs)
    first, second = _sum(total.first, total.second)
    second, third = _sum(second, total.third)
    return Expansion(*_sum(first, second), third)


def less(a: Expansion, b: Expansion) -> Bool[EitherArray, "*shape"]:
    """Whether a < b; what differs by less than float64 resolves is equal."""
    # The first parts cancel without rounding where they are close.
    difference, error = _sum(a.second, -b.second)
    difference, more = _sum(a.first - b.first, difference)
    difference = difference + ((error + more) + (a.third - b.third))
    apart = a.first < b.first * np.float32(1 - 2.0**-12)
    return apart | (difference < -np.float32(_RESOLUTION) * b.first)


def compared(a: Expansion, b: Expansion) -> Int[EitherArray, "*shape"]:
    """2 where a < b, 1 where they are equal, else 0."""
    return 1 + less(a, b).astype(np.int32) - less(b, a)


def precise_row(points: Points, row: Int[Array, ""]) -> Expansion:
    """Squared distances of one point to all, while a function is traced."""
    columns = jnp.arange(len(points.norms), dtype=jnp.int32)
    return in_column_chunks(partial(precise_distances, points, row[None]), points, columns)


def comparisons(
    points: Points, row: Int[Array, ""], exact: Expansion, target: Int[Array, ""]
) -> Int[Array, " m"]:
    """2 for points that are closer to a row than a target is, 1 for those as far, else 0.

    The target itself is as far; the row and absent points give 0.
    """
    limit = Expansion(*(part[target] for part in exact))
    others = points.present & (jnp.arange(len(points.norms)) != row)
    return jnp.where(others, compared(exact, limit), 0)


def _sum(
    a: Float[EitherArray, "*s"], b: Float[EitherArray, "*s"]
) -> tuple[EitherArray, EitherArray]:
    """A + b, and what was rounded off."""
    total = a + b
    shadow = total - a
    return total, (a - (total - shadow)) + (b - shadow)


def _add(a: Expansion, b: Expansion) -> Expansion:
    first, error = _sum(a.first, b.first)
    second, low = _sum(a.second, b.second)
    second, more = _sum(second, error)
    return Expansion(first, second, ((a.third + b.third) + low) + more)


def _difference(
    values: tuple[EitherArray, EitherArray], rest: tuple[EitherArray, EitherArray] | None
) -> Expansion:
    """The first less the second coordinates, of which `rest` are the further digits."""
    difference, error = _sum(values[0], -values[1])
    tiny = 0 * error
    if rest is not None:
        digits, low = _sum(rest[0], -rest[1])
        difference, more = _sum(difference, digits)
        error, tiny = _sum(error, more)
        error, lost = _sum(error, low)
        difference, error = _sum(difference, error)
        tiny = tiny + lost
    return Expansion(difference, error, tiny)


def _by_steps(pairs: Any) -> Expansion:
    """The sum over the last axis of squared differences, in a trace.

    A loop over features, some at a time where there are many, compiles faster than sums over
    halves.

    Args:
        pairs: both arguments of `_difference`.
    """
    *batch, features = jnp.broadcast_shapes(*(part.shape for part in pairs[0]))
    lanes = -(-features // _MOST_STEPS)

    def in_steps(part: Float[Array, "*batch d"]) -> Float[Array, "steps lanes *batch"]:
        # The axes of lanes and steps are to stand before all axes of the batch.
        part = part.reshape(*(1,) * (len(batch) + 1 - part.ndim), *part.shape)
        filled = [(0, 0)] * len(batch) + [(0, -features % lanes)]
        part = jnp.moveaxis(jnp.pad(part, filled), -1, 0)
        return part.reshape(-1, lanes, *part.shape[1:])

    def add_squares(total: Expansion, pairs: Any) -> tuple[Expansion, None]:
        return _add(total, _square(_difference(*pairs))), None

    def add_lane(total: Expansion, lane: Expansion) -> tuple[Expansion, None]:
        return _add(total, lane), None

    total = lax.scan(add_squares, _zeros(lanes, *batch), jax.tree.map(in_steps, pairs))[0]
    if lanes == 1:
        return Expansion(*(part[0] for part in total))
    return lax.scan(add_lane, _zeros(*batch), total)[0]


def _zeros(*shape: int) -> Expansion:
    return Expansion(*(jnp.zeros(shape, jnp.float32),) * 3)


def _by_halves(terms: Expansion) -> Expansion:
    """The sum over the last axis, of arrays of NumPy."""
    while (d := terms.first.shape[-1]) > 1:
        odd = [(0, 0)] * (terms.first.ndim - 1) + [(0, d % 2)]
        even = [np.pad(part, odd) if d % 2 else part for part in terms]
        parts = [np.split(part, 2, axis=-1) for part in even]
        terms = _add(*(Expansion(*half) for half in zip(*parts, strict=True)))
    return Expansion(*(part[..., 0] for part in terms))


def _square(a: Expansion) -> Expansion:
    """The square, from products of 12-bit halves, which are exact where it matters."""
    (a1, a2), (e1, e2) = _halves(a.first), _halves(a.second)
    first, second = _sum(a1 * a1, 2 * a1 * a2)
    second, third = _sum(second, a2 * a2)
    second, low = _sum(second, 2 * a1 * e1)
    small = 2 * a2 * e2 + a.second * a.second + 2 * a.first * a.third
    return Expansion(first, second, (third + low) + 2 * (a1 * e2 + a2 * e1) + small)


def _halves(a: Float[EitherArray, "*s"]) -> tuple[EitherArray, EitherArray]:
    upper = from_bits(as_bits(a) & np.uint32(0xFFFFF000))
    return upper, a - upper
