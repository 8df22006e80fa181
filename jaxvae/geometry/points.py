"""Arrays of any kind -> float32 points whose products can be trusted."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxvae.typing import ArrayLike

# The largest coordinate becomes 2**40: its square times a million features stays
# far below the float32 maximum, and coordinates 1e-23 times smaller still have
# squares above the float32 minimum (one outlying row does not erase the others).
_LARGEST_EXPONENT = 40
_CENTER_ROWS = 65
_UNIT = 2.0**-24  # the rounding of one float32 operation
# Up to here differences cost no more than products, and distances are formed so.
NARROW_FEATURES = 16
# Products are summed in runs of this many features, which bounds their rounding.
PRODUCT_FEATURES = 256
_DEVICE_RANGE = 2.0**-80, 2.0**126
_EXACT_IN_FLOAT32 = tuple(
    np.dtype(kind) for kind in (bool, np.uint8, np.int8, np.float16, jnp.bfloat16, np.float32)
)


class Points(NamedTuple):
    """A cloud in the three forms that distances need.

    Attributes:
        values: `[n, d]`, the input times a power of two: differences are taken here.
        centered: `[n, d]`, `values` minus a central value of the data: products
            are taken here.
        norms: `[n]`, squared norms of `centered`.
        slack: `[]`, bound on the rounding of a squared distance in a block: of
            the product form, relative to the sum of the two squared norms; for
            narrow clouds of the difference form, relative to the distance.
            Zero where the cloud lies on a grid so coarse that both are exact.
        exponent: `[]`, input units are `values * 2**exponent`.
    """

    values: Float[Array, "n d"]
    centered: Float[Array, "n d"]
    norms: Float[Array, " n"]
    slack: Float[Array, ""]
    exponent: Int[Array, ""]


def as_points(*arrays: ArrayLike) -> tuple[Points, ...]:
    """Clouds ready for distances, sharing one center and one power-of-two scale.

    float64 and wide integers are centered and scaled in float64 on the host
    before they become float32, so an offset far above the spread costs nothing.
    The center is the median of some rows: a value of the data, so that integer
    grids stay on their grid and exact ties stay exact, and out of the reach of
    a few outlying rows. Scaling by a power of two is exact.

    Args:
        *arrays: each `[n, ...]` of any real type, NumPy or JAX; trailing axes
            are flattened.

    Returns:
        One `Points` for each array.

    Raises:
        ValueError: for fewer than two axes, no points, no features, widths that
            differ, complex or object types, and NaN or infinite values (which
            cannot be seen while a function is traced).
    """
    flat = [_flatten(array) for array in arrays]
    if len({array.shape[1] for array in flat}) > 1:
        raise ValueError(
            f"expected the same number of features, got {[array.shape[1] for array in flat]}"
        )
    base = 0
    if any(_needs_host(array) for array in flat):
        flat, base = _center_on_host([np.asarray(array) for array in flat])
    for array in flat:
        _refuse_non_finite(array)
    return _form_points(tuple(jnp.asarray(array, jnp.float32) for array in flat), base)


def same_length(*arrays: ArrayLike) -> int:
    """The number of points that all arrays share.

    Raises:
        ValueError: where they differ.
    """
    lengths = [array.shape[0] for array in arrays]
    if len(set(lengths)) != 1:
        raise ValueError(f"expected the same number of points in every space, got {lengths}")
    return lengths[0]


def difference_rounding(points: Points) -> Float[Array, ""]:
    """Bound on the rounding of a squared distance by differences, relative to its value."""
    return jnp.where(points.slack == 0, 0.0, _difference_rounding(points.values.shape[1]))


def sum_of_squares(values: Float[Array, "*batch d"]) -> Float[Array, "*batch"]:
    """Sum of squares over the last axis, by halves so that rounding stays small."""
    squares = values * values
    for _ in range(4):
        width = squares.shape[-1]
        if width <= 32:
            break
        half = (width + 1) // 2
        rest = jnp.pad(squares[..., half:], [(0, 0)] * (squares.ndim - 1) + [(0, 2 * half - width)])
        squares = squares[..., :half] + rest
    return jnp.sum(squares, axis=-1)


@jax.jit
def distinct_rows(points: Points) -> Bool[Array, " n"]:
    """True for the first row of every set of equal rows.

    Rows are sorted by a 64-bit hash and compared, in full, with their
    predecessor; no pair of points is formed.
    """
    first, second = _row_hashes(points.values)
    order = jnp.lexsort((jnp.arange(len(first)), second, first))
    ordered = points.values[order]
    repeated = jnp.all(ordered[1:] == ordered[:-1], axis=1)
    return jnp.ones(len(first), bool).at[order[1:]].set(~repeated)


def _flatten(array: ArrayLike) -> ArrayLike:
    if not hasattr(array, "shape"):
        raise ValueError(f"expected an array [n, ...], got {type(array).__name__}")
    if array.ndim < 2:
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
    return array.reshape(array.shape[0], -1)


def _needs_host(array: ArrayLike) -> bool:
    if isinstance(array, jax.core.Tracer):
        return False
    if array.dtype not in _EXACT_IN_FLOAT32:
        return True
    # A difference of larger values overflows; devices flush smaller ones to zero.
    low, high = _DEVICE_RANGE
    floating = jnp.issubdtype(array.dtype, jnp.floating)
    return floating and not low < max(float(array.max()), -float(array.min())) < high


def _refuse_non_finite(array: ArrayLike) -> None:
    if isinstance(array, jax.core.Tracer) or not jnp.issubdtype(array.dtype, jnp.floating):
        return
    finite = np.isfinite(array) if isinstance(array, np.ndarray) else jnp.isfinite(array)
    if not finite.all():
        row = int(np.argmin(np.asarray(finite).all(axis=1)))
        raise ValueError(f"expected finite values, got NaN or infinity in row {row}")


def _center_on_host(arrays: list[np.ndarray]) -> tuple[list[ArrayLike], int]:
    wide = [array.astype(np.float64) for array in arrays]
    for array in wide:
        _refuse_non_finite(array)
    center = _central_value(wide[0] if len(wide) == 1 else np.concatenate(wide), np)
    largest = max(float(np.abs(array - center).max()) for array in wide)
    exponent = int(np.frexp(largest)[1])
    return [np.ldexp(array - center, -exponent).astype(np.float32) for array in wide], exponent


def _central_value(values: ArrayLike, numpy: Any = jnp) -> Any:
    """Median of evenly spaced rows, per column: always one of the data's own values."""
    rows = values[:: max(1, len(values) // _CENTER_ROWS)][:_CENTER_ROWS]
    return numpy.sort(rows, axis=0)[(len(rows) - 1) // 2]


@jax.jit
def _form_points(
    arrays: tuple[Float[Array, "n d"], ...], base: Int[Array, ""]
) -> tuple[Points, ...]:
    joined = jnp.concatenate(arrays)
    center = _central_value(joined)
    largest = jnp.max(jnp.abs(joined - center))
    shift = jnp.where(largest > 0, _LARGEST_EXPONENT - jnp.frexp(largest)[1], 0)
    center = jnp.ldexp(center, shift)
    return tuple(_one_cloud(jnp.ldexp(array, shift), center, base - shift) for array in arrays)


def _one_cloud(
    values: Float[Array, "n d"], center: Float[Array, " d"], exponent: Int[Array, ""]
) -> Points:
    centered = values - center
    features = values.shape[1]
    narrow = features <= NARROW_FEATURES
    rounding = _difference_rounding(features) if narrow else _product_rounding(features)
    slack = jnp.where(_on_exact_grid(values, center, centered), 0.0, rounding)
    return Points(values, centered, sum_of_squares(centered), slack, exponent)


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


def _product_rounding(features: int) -> float:
    """Worst case of |a|^2 + |b|^2 - 2 ab, relative to |a|^2 + |b|^2."""
    chained = min(features, PRODUCT_FEATURES) + features / PRODUCT_FEATURES
    # The norms are sums of squares; centering and the three terms add a few units.
    return chained * _UNIT + _difference_rounding(features) + 8 * _UNIT


def _difference_rounding(features: int) -> float:
    """Worst case of `sum_of_squares` of a difference, relative to its value."""
    return (min(features, max(features / 16, 32)) + 8) * _UNIT


def _row_hashes(values: Float[Array, "n d"]) -> tuple[Array, Array]:
    # Equal values need equal bits; XLA drops the shorter -0.0 + 0.0.
    positive_zero = jnp.where(values == 0, 0.0, values)
    bits = jax.lax.bitcast_convert_type(positive_zero, jnp.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = (bits ^ (bits >> shift)) * jnp.uint32(factor)
    bits = bits ^ (bits >> 16)
    weights = jax.random.bits(jax.random.key(0), (2, values.shape[1]), jnp.uint32) | 1
    return jnp.sum(bits * weights[0], axis=1), jnp.sum(bits * weights[1], axis=1)
