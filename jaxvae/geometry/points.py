"""Arrays of any kind -> float32 points whose products can be trusted."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxvae.geometry.arrays import as_array, as_point_array
from jaxvae.typing import ArrayLike, EitherArray

# The largest coordinate becomes 2**40: its square times a million features stays
# far below the float32 maximum, and coordinates 1e-23 times smaller still have
# squares above the float32 minimum (one outlying row does not erase the others).
_LARGEST_EXPONENT = 40
_CENTER_ROWS = 65
# Neighboring terms of a sum over features that are kept apart to the end.
_LANES = 16
# So few numbers are prepared on the host in less time than a program for it takes to compile.
_FEW_ENTRIES = 2**19
_DEVICE_RANGE = 2.0**-80, 2.0**126
_EXACT_IN_FLOAT32 = tuple(
    np.dtype(kind) for kind in (bool, np.uint8, np.int8, np.float16, jnp.bfloat16, np.float32)
)


class Points(NamedTuple):
    """A cloud in the forms that distances need.

    Rows after the n points of the cloud are absent: they fill up the arrays, so that clouds
    of many n share one shape, and with it what is compiled.

    Attributes:
        values: `[m, d]`, the input times a power of two: differences are taken here.
        rest: `[m, d]`, what float32 rounds off `values`; None where that is nothing.
        centered: `[m, d]`, `values` minus a central value of the data: products
            are taken here.
        norms: `[m]`, squared norms of `centered`.
        present: `[m]`, the points that can be neighbors.
        on_grid: `[]`, True where the cloud lies on a grid so coarse that products
            and differences are exact in float32.
        exponent: `[]`, input units are `values * 2**exponent`.
    """

    values: Float[EitherArray, "m d"]
    rest: Float[EitherArray, "m d"] | None
    centered: Float[EitherArray, "m d"]
    norms: Float[EitherArray, " m"]
    present: Bool[EitherArray, " m"]
    on_grid: Bool[EitherArray, ""]
    exponent: Int[EitherArray, ""]


def as_points(*arrays: ArrayLike, filled: Callable[[int], int] = lambda n: n) -> tuple[Points, ...]:
    """Clouds ready for distances, sharing one center and one power-of-two scale.

    float64 is centered and scaled on the host, wide integers are centered as integers,
    and both are kept as two float32 arrays, 48 bits in all. The center is the median of some
    rows: a value of the data, so that integer grids stay on their grid and exact
    ties stay exact, and out of the reach of a few outlying rows. Scaling by a
    power of two is exact.

    Args:
        *arrays: each `[n, ...]`, as `as_point_array` takes them; trailing axes are
            flattened.
        filled: `n -> m`, the length to which the arrays are filled up.

    Returns:
        One `Points` for each array; of NumPy arrays where these are few numbers on the host,
        so that nothing is compiled.

    Raises:
        ValueError: as `as_point_array`, for widths that differ, and for NaN and infinite
            values (which cannot be seen while a function is traced).
    """
    if any(isinstance(array, jax.core.Tracer) for array in arrays):
        return _as_points(arrays, filled)
    with jax.ensure_compile_time_eval():  # known also where other things are traced
        return tuple(map(_with_facts_on_host, _as_points(arrays, filled)))


def _as_points(arrays: Sequence[ArrayLike], filled: Callable[[int], int]) -> tuple[Points, ...]:
    values, rests, exponent = as_float32(*arrays)
    counts = tuple(len(cloud) for cloud in values)
    longer = [filled(n) - n for n in counts]
    filled_up = tuple(map(_fill_up, values, longer)), tuple(map(_fill_up, rests, longer))
    form = _form if all(map(is_few, values)) else _form_on_device
    return form(*filled_up, exponent, counts)


def _with_facts_on_host(points: Points) -> Points:
    facts = {name: np.asarray(getattr(points, name)) for name in ("present", "on_grid", "exponent")}
    return points._replace(**facts)


def as_float32(
    *arrays: ArrayLike,
) -> tuple[tuple[ArrayLike, ...], tuple[ArrayLike | None, ...], int]:
    """Values of arrays `[n, ...]`, what float32 rounds off them, and the exponent of their unit.

    What float32 does not hold is centered and scaled on the host; see `as_points`, also
    for what is refused. Arrays in the memory of the host are given as NumPy's, so that
    preparing them compiles nothing; an array on an accelerator stays there.
    """
    flat = [_flatten(array) for array in arrays]
    if len({array.shape[1] for array in flat}) > 1:
        raise ValueError(
            f"expected the same number of features, got {[array.shape[1] for array in flat]}"
        )
    largest = [largest_magnitude(array) for array in flat]
    if any(_needs_host(array, most) for array, most in zip(flat, largest, strict=True)):
        return _center_on_host([np.asarray(array) for array in flat])
    together = jnp if any(isinstance(array, jax.Array) for array in flat) else np
    values = tuple(together.asarray(array, jnp.float32) for array in flat)
    return values, (None,) * len(flat), 0


def center_and_shift(values: Float[Array, "n d"]) -> tuple[Float[Array, " d"], Int[Array, ""]]:
    """A central value, and the power of two that keeps squares about it inside float32."""
    numpy = numpy_of(values)
    center = _central_value(values)
    largest = numpy.max(numpy.abs(values - center))
    return center, numpy.where(largest > 0, _LARGEST_EXPONENT - numpy.frexp(largest)[1], 0)


def sort(values: Float[EitherArray, "..."], *, axis: int = -1) -> Float[EitherArray, "..."]:
    """Ascending numbers, of which equal ones need no order: accelerators compile it in half."""
    if isinstance(values, np.ndarray):
        return np.sort(values, axis=axis)
    return jnp.sort(values, axis=axis, stable=False)


def is_on_host(array: Any) -> bool:
    """Whether the values of an array are known and in the memory of the host."""
    if isinstance(array, jax.core.Tracer):
        return False
    return not isinstance(array, jax.Array) or all(d.platform == "cpu" for d in array.devices())


def is_few(array: ArrayLike) -> bool:
    """Whether an array is NumPy's and so small that it is prepared on the host.

    Compiling a program for it would take longer than the work.
    """
    return isinstance(array, np.ndarray) and array.size <= _FEW_ENTRIES


def numpy_of(array: ArrayLike) -> Any:
    """The module whose functions take this array where it is: `numpy`, or `jax.numpy`."""
    return np if isinstance(array, np.ndarray | np.generic) else jnp


def known_values(points: Points) -> Points:
    """The points with their coordinates on the host, where few pairs are compared."""
    rest = None if points.rest is None else np.asarray(points.rest)
    return points._replace(values=np.asarray(points.values), rest=rest)


def first_alike(points: Points) -> Int[np.ndarray, " m"]:
    """For each point an earlier one with the same coordinates, where there is one, or itself.

    Most often the first; some are missed where different points have the same norm.
    """
    _, first, kinds = np.unique(np.asarray(points.norms), return_index=True, return_inverse=True)
    alike = first[kinds]
    (rows,) = np.nonzero(alike != np.arange(len(alike)))
    parts = [np.asarray(part) for part in (points.values, points.rest) if part is not None]
    same = np.all([(part[rows] == part[alike[rows]]).all(axis=1) for part in parts], axis=0)
    alike[rows[~same]] = rows[~same]
    return alike


def as_results(tree: Any) -> Any:
    """Numbers of float64 and int64 as the arrays of 32 bits that metrics give."""

    def narrow(leaf: ArrayLike) -> Array:
        kinds = {"f": np.float32, "i": np.int32, "u": np.uint32}
        return jax.device_put(leaf.astype(kinds.get(np.dtype(leaf.dtype).kind, leaf.dtype)))

    return jax.tree.map(narrow, tree)


def same_length(*arrays: ArrayLike) -> int:
    """The number of points that all arrays share.

    Raises:
        ValueError: where they differ.
    """
    lengths = [array.shape[0] for array in arrays]
    if len(set(lengths)) != 1:
        raise ValueError(f"expected the same number of points in every space, got {lengths}")
    return lengths[0]


def sum_of_squares(values: Float[EitherArray, "*batch d"]) -> Float[EitherArray, "*batch"]:
    """Sum of squares over the last axis, as sums of sums so that rounding stays small."""
    return _sum_of_sums(values * values)


def _sum_of_sums(terms: Float[EitherArray, "*batch d"]) -> Float[EitherArray, "*batch"]:
    side, cubed = _cube(terms.shape[-1])
    if side == 0:
        return terms.sum(axis=-1)
    cube = terms[..., :cubed].reshape(*terms.shape[:-1], side, side, _LANES)
    total = cube.sum(axis=-3).sum(axis=-2).sum(axis=-1)
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
    if isinstance(array, jax.core.Tracer):
        return False
    # A difference of larger values overflows; devices flush smaller ones to zero.
    least, most = _DEVICE_RANGE
    return array.dtype not in _EXACT_IN_FLOAT32 or not least < largest < most


def _center_on_host(
    arrays: list[np.ndarray],
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray | None, ...], int]:
    """Values, what float32 rounds off them, and the power of two they were divided by."""
    wide = _of_one_type(arrays)
    center = _central_value(wide[0] if len(wide) == 1 else np.concatenate(wide))
    wide = [_difference(array, center) for array in wide]
    exponent = int(np.frexp(max(float(np.abs(array).max()) for array in wide))[1])
    wide = [np.ldexp(array, -exponent) for array in wide]
    values = tuple(array.astype(np.float32) for array in wide)
    rests = [(array - kept).astype(np.float32) for array, kept in zip(wide, values, strict=True)]
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
    return values - values[0]


def _difference(array: np.ndarray, other: np.ndarray) -> Float[np.ndarray, "..."]:
    """`array - other` in float64, of integers without rounding them first."""
    if array.dtype.kind not in "iu":
        return array - other
    # Halves, because the difference of two whole ones may take 65 bits.
    halves = (array >> 1).astype(np.int64) - (other >> 1).astype(np.int64)
    last = (array & 1).astype(np.int8) - (other & 1).astype(np.int8)
    return 2.0 * halves + last


def _central_value(values: ArrayLike) -> Any:
    """Median of evenly spaced rows, per column: always one of the data's own values."""
    rows = values[:: max(1, len(values) // _CENTER_ROWS)][:_CENTER_ROWS]
    return sort(rows, axis=0)[(len(rows) - 1) // 2]


def _fill_up(array: EitherArray, extra: int) -> EitherArray:
    if array is None or extra == 0:
        return array
    return numpy_of(array).pad(array, ((0, extra), (0, 0)), mode="edge")


def _form(
    values: tuple[Float[Array, "m d"], ...],
    rests: tuple[Float[Array, "m d"] | None, ...],
    base: int,
    counts: tuple[int, ...],
) -> tuple[Points, ...]:
    numpy = numpy_of(values[0])
    center, shift = center_and_shift(values[0] if len(values) == 1 else numpy.concatenate(values))
    scale = numpy.ldexp(numpy.float32(1), shift)
    moved = center * scale

    def one_cloud(
        values: Float[Array, "m d"], rest: Float[Array, "m d"] | None, count: int
    ) -> Points:
        values = values * scale
        rest = None if rest is None else rest * scale
        centered = values - moved
        on_grid = numpy.asarray(rest is None) & _on_exact_grid(values, moved, centered)
        present = numpy.arange(len(values)) < count
        return Points(
            values, rest, centered, sum_of_squares(centered), present, on_grid, base - shift
        )

    return tuple(one_cloud(*cloud) for cloud in zip(values, rests, counts, strict=True))


_form_on_device = jax.jit(_form)


def _on_exact_grid(
    values: Float[EitherArray, "n d"],
    center: Float[EitherArray, " d"],
    centered: Float[EitherArray, "n d"],
) -> Bool[EitherArray, ""]:
    """Whether centering was exact, and sums of products are whole numbers below 2**24."""
    steps = (
        2 ** int(np.log2(np.sqrt(2**22 / centered.shape[1]))) if centered.shape[1] < 2**22 else 1
    )
    spacing = 2.0**_LARGEST_EXPONENT / steps
    numpy = numpy_of(values)

    def exact(values: Array, centered: Array) -> Bool[Array, ""]:
        on_grid = numpy.rint(centered / spacing) * spacing == centered
        # A rounded difference would hide small steps; it cannot be undone from both sides.
        unrounded = (values - centered == center) & (centered + center == values)
        return numpy.all(on_grid & unrounded)

    # On the host, the first rows of an ordinary cloud spare a look at all of them.
    if numpy is np and not exact(values[:_CENTER_ROWS], centered[:_CENTER_ROWS]):
        return np.asarray(False)
    return exact(values, centered)
