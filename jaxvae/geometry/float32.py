"""Arrays of any kind -> float32 values, with what float32 rounds off them."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvae.geometry.arrays import as_array, as_point_array
from jaxvae.geometry.host import is_on_host, sort
from jaxvae.typing import ArrayLike, EitherArray

_CENTER_ROWS = 65
_DEVICE_RANGE = 2.0**-80, 2.0**126
_EXACT_IN_FLOAT32 = tuple(
    np.dtype(kind) for kind in (bool, np.uint8, np.int8, np.float16, jnp.bfloat16, np.float32)
)


def as_float32(
    *arrays: ArrayLike,
) -> tuple[tuple[ArrayLike, ...], tuple[ArrayLike | None, ...], int]:
    """Values of arrays `[n, ...]`, what float32 rounds off them, and the exponent of their unit.

    What float32 does not hold is centered and scaled on the host; see `as_points`, also
    for what is refused. Beside one that is traced, arrays become float32 as they are. Arrays
    in the memory of the host are given as NumPy's, so that preparing them compiles nothing;
    an array on an accelerator stays there.
    """
    flat = [_flatten(array) for array in arrays]
    if len({array.shape[1] for array in flat}) > 1:
        raise ValueError(
            f"expected the same number of features, got {[array.shape[1] for array in flat]}"
        )
    largest = [largest_magnitude(array) for array in flat]
    is_traced = any(isinstance(array, jax.core.Tracer) for array in flat)
    if is_traced and max(largest) > float(jnp.finfo(jnp.float32).max):
        raise ValueError(
            "expected numbers within the range of float32 beside a traced array, got "
            f"{max(largest):.3g}; without jit any scale is taken"
        )
    if not is_traced and any(
        _needs_host(array, most) for array, most in zip(flat, largest, strict=True)
    ):
        return _center_on_host([np.asarray(array) for array in flat])
    together = jnp if any(isinstance(array, jax.Array) for array in flat) else np
    values = tuple(together.asarray(array, jnp.float32) for array in flat)
    return values, (None,) * len(flat), 0


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
    array = as_point_array(array)
    if is_on_host(array):
        # The order of the entries in memory would change that of sums.
        array = np.ascontiguousarray(as_array(np.asarray(array)))
    return array.reshape(array.shape[0], -1)


@jax.jit
def _largest(array: Float[Array, "n d"]) -> Float[Array, ""]:
    return jnp.max(jnp.abs(array))


def _needs_host(array: ArrayLike, largest: float) -> bool:
    # A difference of larger values overflows; devices flush smaller ones to zero.
    least, most = _DEVICE_RANGE
    return array.dtype not in _EXACT_IN_FLOAT32 or not least < largest < most


def _center_on_host(
    arrays: list[np.ndarray],
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray | None, ...], int]:
    """Values, what float32 rounds off them, and the power of two they were divided by."""
    wide = _of_one_type(arrays)
    center = _median(wide[0] if len(wide) == 1 else np.concatenate(wide))
    wide = [_difference(array, center) for array in wide]
    exponent = int(np.frexp(max(float(np.abs(array).max()) for array in wide))[1])
    wide = [np.ldexp(array, -exponent) for array in wide]
    values = tuple(array.astype(np.float32) for array in wide)
    rests = [(array - value).astype(np.float32) for array, value in zip(wide, values, strict=True)]
    exact = not any(rest.any() for rest in rests)
    return values, tuple(None if exact else rest for rest in rests), exponent


def _of_one_type(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Arrays of int64 or of uint64 where they are all of integers that fit, else of float64."""
    for integers in (np.int64, np.uint64):
        limits = np.iinfo(integers)
        if all(
            array.dtype.kind in "biu" and limits.min <= array.min() and array.max() <= limits.max
            for array in arrays
        ):
            return [array.astype(integers, copy=False) for array in arrays]
    return [array.astype(np.float64) for array in arrays]


def from_first_row(array: ArrayLike) -> Float[EitherArray, "n ..."]:
    """Rows less the first one, in float64 on the host and in float32 elsewhere."""
    if is_on_host(array):
        (wide,) = _of_one_type([np.asarray(array)])
        return _difference(wide, wide[0])
    values = jnp.asarray(array, jnp.float32)
    return values - values[:1]


def _difference(array: np.ndarray, other: np.ndarray) -> Float[np.ndarray, "..."]:
    """`array - other` in float64, of integers without rounding them first."""
    if array.dtype.kind not in "iu":
        return array - other
    # Halves, because the difference of two whole ones may take 65 bits.
    halves = (array >> 1).astype(np.int64) - (other >> 1).astype(np.int64)
    last = (array & 1).astype(np.int8) - (other & 1).astype(np.int8)
    return 2.0 * halves + last


def _median(values: np.ndarray) -> np.ndarray:
    """The lower median of every column, whatever the order of the rows: rounding depends on it."""
    middle = (len(values) - 1) // 2
    return np.partition(values, middle, axis=0)[middle]


def central_value(values: ArrayLike) -> Any:
    """Median of evenly spaced rows, per column: always one of the data's own values."""
    rows = values[:: max(1, len(values) // _CENTER_ROWS)][:_CENTER_ROWS]
    return sort(rows, axis=0)[(len(rows) - 1) // 2]
