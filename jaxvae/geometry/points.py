"""Arrays of any kind -> float32 points whose products can be trusted."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxvae.typing import ArrayLike

# The largest coordinate becomes 2**40: its square times a million features stays
# far below the float32 maximum, and coordinates 1e-23 times smaller still have
# squares above the float32 minimum (one outlying row does not erase the others).
_LARGEST_EXPONENT = 40
_CENTER_ROWS = 65
# Neighboring terms of a sum over features that are kept apart to the end.
_LANES = 16
_DEVICE_RANGE = 2.0**-80, 2.0**126
_EXACT_IN_FLOAT32 = tuple(
    np.dtype(kind) for kind in (bool, np.uint8, np.int8, np.float16, jnp.bfloat16, np.float32)
)


class Points(NamedTuple):
    """A cloud in the forms that distances need.

    The m - n last rows fill up the arrays: blocks of distances of some lengths are
    searched faster, and filling up the distances themselves would cost a copy.

    Attributes:
        values: `[m, d]`, the input times a power of two: differences are taken here.
        rest: `[m, d]`, what float32 rounds off `values`; None where that is nothing.
        centered: `[m, d]`, `values` minus a central value of the data: products
            are taken here.
        norms: `[m]`, squared norms of `centered`.
        present: `[n]`, the points that can be neighbors.
        on_grid: `[]`, True where the cloud lies on a grid so coarse that products
            and differences are exact in float32.
        exponent: `[]`, input units are `values * 2**exponent`.
    """

    values: Float[Array, "m d"]
    rest: Float[Array, "m d"] | None
    centered: Float[Array, "m d"]
    norms: Float[Array, " m"]
    present: Bool[Array, " n"]
    on_grid: Bool[Array, ""]
    exponent: Int[Array, ""]

    @property
    def n(self) -> int:
        """The number of points, absent ones included."""
        return len(self.present)

    @property
    def columns(self) -> int:
        """The length of a row of distances: the points, and what fills up the arrays."""
        return len(self.norms)


def as_points(*arrays: ArrayLike, multiple: int = 1) -> tuple[Points, ...]:
    """Clouds ready for distances, sharing one center and one power-of-two scale.

    float64 and wide integers are centered and scaled in float64 on the host and
    kept as two float32 arrays, 48 bits in all. The center is the median of some
    rows: a value of the data, so that integer grids stay on their grid and exact
    ties stay exact, and out of the reach of a few outlying rows. Scaling by a
    power of two is exact.

    Args:
        *arrays: each `[n, ...]` of any real type, NumPy or JAX; trailing axes
            are flattened.
        multiple: the arrays are filled up to a multiple of this many rows.

    Returns:
        One `Points` for each array.

    Raises:
        ValueError: for fewer than two axes, no points, no features, widths that
            differ, complex or object types, and NaN or infinite values (which
            cannot be seen while a function is traced).
    """
    return _form_points(*on_device(*arrays), multiple=multiple)


def on_device(
    *arrays: ArrayLike,
) -> tuple[tuple[Float[Array, "n d"], ...], tuple[Float[Array, "n d"] | None, ...], int]:
    """Values of arrays `[n, ...]`, what float32 rounds off them, and the exponent of their unit.

    What float32 does not hold is centered and scaled on the host; see `as_points`, also
    for what is refused.
    """
    flat = [_flatten(array) for array in arrays]
    if len({array.shape[1] for array in flat}) > 1:
        raise ValueError(
            f"expected the same number of features, got {[array.shape[1] for array in flat]}"
        )
    largest = [largest_magnitude(array) for array in flat]
    if any(_needs_host(array, most) for array, most in zip(flat, largest, strict=True)):
        return _center_on_host([np.asarray(array) for array in flat])
    return tuple(jnp.asarray(array, jnp.float32) for array in flat), (None,) * len(flat), 0


def center_and_shift(
    values: Float[Array, "n d"],
) -> tuple[Float[Array, " d"], Int[Array, ""]]:
    """A central value, and the power of two that keeps squares about it inside float32."""
    center = _central_value(values)
    largest = jnp.max(jnp.abs(values - center))
    return center, jnp.where(largest > 0, _LARGEST_EXPONENT - jnp.frexp(largest)[1], 0)


def same_length(*arrays: ArrayLike) -> int:
    """The number of points that all arrays share.

    Raises:
        ValueError: where they differ.
    """
    lengths = [array.shape[0] for array in arrays]
    if len(set(lengths)) != 1:
        raise ValueError(f"expected the same number of points in every space, got {lengths}")
    return lengths[0]


def sum_of_squares(values: Float[Array, "*batch d"]) -> Float[Array, "*batch"]:
    """Sum of squares over the last axis, as sums of sums so that rounding stays small."""
    return _sum_of_sums(values * values)


def _sum_of_sums(terms: Float[Array, "*batch d"]) -> Float[Array, "*batch"]:
    side, cubed = _cube(terms.shape[-1])
    if side == 0:
        return jnp.sum(terms, axis=-1)
    cube = terms[..., :cubed].reshape(*terms.shape[:-1], side, side, _LANES)
    total = jnp.sum(jnp.sum(jnp.sum(cube, axis=-3), axis=-2), axis=-1)
    return total + _sum_of_sums(terms[..., cubed:]) if cubed < terms.shape[-1] else total


def most_additions(features: int) -> int:
    """The longest chain of additions that a term of `sum_of_squares` goes through."""
    side, cubed = _cube(features)
    if side == 0:
        return features
    return 1 + max(2 * side + _LANES, most_additions(features - cubed))


def _cube(features: int) -> tuple[int, int]:
    """The side of the largest array [side, side, lanes] of features, and its size; 0 if few."""
    side = math.isqrt(features // _LANES) if features > 4 * _LANES else 0
    return side, side * side * _LANES


@jax.jit
def distinct_rows(points: Points) -> Bool[Array, " n"]:
    """True for the first point of every set of equal ones.

    Rows are sorted by a 64-bit hash and compared, in full, with their
    predecessor where hashes are equal; no pair of points is formed.
    """
    whole = points.values
    if points.rest is not None:
        whole = jnp.concatenate([whole, points.rest], axis=1)
    first, second = _row_hashes(whole)
    order = jnp.lexsort((jnp.arange(len(first)), second, first))
    alike = (first[order][1:] == first[order][:-1]) & (second[order][1:] == second[order][:-1])

    def compare() -> Bool[Array, " m"]:
        ordered = whole[order]
        return jnp.all(ordered[1:] == ordered[:-1], axis=1)

    repeated = lax.cond(jnp.any(alike), compare, lambda: alike)
    return jnp.ones(len(first), bool).at[order[1:]].set(~repeated)[: points.n]


def refuse_other_kinds(array: ArrayLike) -> None:
    """Refuse what is no array `[n, ...]` of real numbers.

    Raises:
        ValueError: says what was expected and what came.
    """
    if not hasattr(array, "shape"):
        raise ValueError(f"expected an array [n, ...], got {type(array).__name__}")
    if len(array.shape) < 2:
        raise ValueError(
            f"expected an array [n, ...] with features, got shape {array.shape}; "
            "write x[:, None] for n scalars"
        )
    if 0 in array.shape:
        raise ValueError(f"expected at least one point and one feature, got shape {array.shape}")
    if not (jnp.issubdtype(array.dtype, np.number) or array.dtype == bool):
        raise ValueError(f"expected real numbers, got {array.dtype}")
    if jnp.issubdtype(array.dtype, np.complexfloating):
        raise ValueError(f"expected real numbers, got {array.dtype}")


def largest_magnitude(array: ArrayLike, *, first_row: int = 0) -> float:
    """The largest magnitude of values `[n, d]`; 1 for integers, and while a function is traced.

    Raises:
        ValueError: for NaN and infinity; names the first such row.
    """
    if isinstance(array, jax.core.Tracer) or not jnp.issubdtype(array.dtype, jnp.floating):
        return 1.0
    on_host = isinstance(array, np.ndarray)
    largest = float(max(array.max(), -array.min()) if on_host else _largest(array))
    if not math.isfinite(largest):
        row = first_row + int(np.argmin(np.isfinite(np.asarray(array)).all(axis=1)))
        raise ValueError(f"expected finite values, got NaN or infinity in row {row}")
    return largest


def _flatten(array: ArrayLike) -> ArrayLike:
    refuse_other_kinds(array)
    if not isinstance(array, jax.Array | np.ndarray):
        array = np.asarray(array)
    return array.reshape(array.shape[0], -1)


@jax.jit
def _largest(array: Float[Array, "n d"]) -> Float[Array, ""]:
    return jnp.max(jnp.abs(array))


def _needs_host(array: ArrayLike, largest: float) -> bool:
    if isinstance(array, jax.core.Tracer):
        return False
    # A difference of larger values overflows; devices flush smaller ones to zero.
    least, most = _DEVICE_RANGE
    return array.dtype not in _EXACT_IN_FLOAT32 or not least < largest < most


def _center_on_host(
    arrays: list[np.ndarray],
) -> tuple[tuple[Array, ...], tuple[Array | None, ...], int]:
    """Values, what float32 rounds off them, and the power of two they were divided by."""
    wide = [array.astype(np.float64) for array in arrays]
    center = _central_value(wide[0] if len(wide) == 1 else np.concatenate(wide), np)
    wide = [array - center for array in wide]
    exponent = int(np.frexp(max(float(np.abs(array).max()) for array in wide))[1])
    wide = [np.ldexp(array, -exponent) for array in wide]
    values = [array.astype(np.float32) for array in wide]
    rests = [(array - kept).astype(np.float32) for array, kept in zip(wide, values, strict=True)]
    exact = not any(rest.any() for rest in rests)
    return (
        tuple(jnp.asarray(array) for array in values),
        tuple(None if exact else jnp.asarray(rest) for rest in rests),
        exponent,
    )


def _central_value(values: ArrayLike, numpy: Any = jnp) -> Any:
    """Median of evenly spaced rows, per column: always one of the data's own values."""
    rows = values[:: max(1, len(values) // _CENTER_ROWS)][:_CENTER_ROWS]
    return numpy.sort(rows, axis=0)[(len(rows) - 1) // 2]


@partial(jax.jit, static_argnames="multiple")
def _form_points(
    values: tuple[Float[Array, "n d"], ...],
    rests: tuple[Float[Array, "n d"] | None, ...],
    base: Int[Array, ""],
    *,
    multiple: int,
) -> tuple[Points, ...]:
    center, shift = center_and_shift(jnp.concatenate(values))
    scale = jnp.ldexp(jnp.float32(1), shift)

    def one_cloud(values: Float[Array, "n d"], rest: Float[Array, "n d"] | None) -> Points:
        values = values * scale
        rest = None if rest is None else rest * scale
        moved = center * scale
        centered = values - moved
        on_grid = _on_exact_grid(values, moved, centered) & (rest is None)
        norms = sum_of_squares(centered)
        present = jnp.ones(len(norms), bool)
        points = Points(values, rest, centered, norms, present, on_grid, base - shift)
        return _fill_up(points, multiple)

    return tuple(one_cloud(*cloud) for cloud in zip(values, rests, strict=True))


def _fill_up(points: Points, multiple: int) -> Points:
    extra = -points.n % multiple
    return points._replace(
        values=jnp.pad(points.values, ((0, extra), (0, 0))),
        rest=None if points.rest is None else jnp.pad(points.rest, ((0, extra), (0, 0))),
        centered=jnp.pad(points.centered, ((0, extra), (0, 0))),
        norms=jnp.pad(points.norms, (0, extra)),
    )


def _on_exact_grid(
    values: Float[Array, "n d"], center: Float[Array, " d"], centered: Float[Array, "n d"]
) -> Bool[Array, ""]:
    """Whether centering was exact, and sums of products are whole numbers below 2**24."""
    steps = (
        2 ** int(np.log2(np.sqrt(2**22 / centered.shape[1]))) if centered.shape[1] < 2**22 else 1
    )
    spacing = 2.0**_LARGEST_EXPONENT / steps
    on_grid = jnp.rint(centered / spacing) * spacing == centered
    # A rounded difference would hide small steps; it cannot be undone from both sides.
    unrounded = (values - centered == center) & (centered + center == values)
    return jnp.all(on_grid & unrounded)


def _row_hashes(values: Float[Array, "n d"]) -> tuple[Array, Array]:
    # Equal values need equal bits; XLA drops the shorter -0.0 + 0.0.
    positive_zero = jnp.where(values == 0, 0.0, values)
    bits = jax.lax.bitcast_convert_type(positive_zero, jnp.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = (bits ^ (bits >> shift)) * jnp.uint32(factor)
    bits = bits ^ (bits >> 16)
    weights = jax.random.bits(jax.random.key(0), (2, values.shape[1]), jnp.uint32) | 1
    return jnp.sum(bits * weights[0], axis=1), jnp.sum(bits * weights[1], axis=1)
