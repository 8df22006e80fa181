"""Arrays of any kind -> float32 points whose products can be trusted."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxvae.geometry.float32 import as_float32, central_value
from jaxvae.geometry.host import is_few, known_now, numpy_of
from jaxvae.geometry.sums import sum_of_squares
from jaxvae.typing import ArrayLike, EitherArray

# The largest coordinate becomes 2**40: its square times a million features stays
# far below the float32 maximum, and coordinates 1e-23 times smaller still have
# squares above the float32 minimum (one outlying row does not erase the others).
_LARGEST_EXPONENT = 40
# Neither the power of two nor a coordinate far from zero may leave float32.
_MOST_EXPONENT = 126
# So many rows of a cloud on the host are looked at before all of it is.
_FIRST_ROWS = 64


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
    return _known_points(arrays, filled)


@known_now
def _known_points(arrays: Sequence[ArrayLike], filled: Callable[[int], int]) -> tuple[Points, ...]:
    return tuple(map(_with_facts_on_host, _as_points(arrays, filled)))


def _as_points(arrays: Sequence[ArrayLike], filled: Callable[[int], int]) -> tuple[Points, ...]:
    values, rests, exponent = as_float32(*arrays)
    counts = tuple(len(cloud) for cloud in values)
    longer = [filled(n) - n for n in counts]
    filled_up = tuple(map(_fill_up, values, longer)), tuple(map(_fill_up, rests, longer))
    form = _form if all(map(is_few, values)) else _form_on_device
    return form(*filled_up, exponent, counts)


def _with_facts_on_host(points: Points) -> Points:
    facts = jax.device_get((points.present, points.on_grid, points.exponent))
    present, on_grid, exponent = map(np.asarray, facts)
    return points._replace(present=present, on_grid=on_grid, exponent=exponent)


def center_and_shift(values: Float[Array, "n d"]) -> tuple[Float[Array, " d"], Int[Array, ""]]:
    """A central value, and the power of two that keeps squares about it inside float32."""
    numpy = numpy_of(values)
    center = central_value(values)
    largest = numpy.max(numpy.abs(values - center[None]))
    spread, away = (numpy.frexp(each)[1] for each in (largest, numpy.max(numpy.abs(center))))
    shift = numpy.minimum(_LARGEST_EXPONENT - spread, _MOST_EXPONENT - numpy.maximum(spread, away))
    return center, numpy.where(largest > 0, numpy.minimum(shift, _MOST_EXPONENT), 0)


def known_values(points: Points) -> Points:
    """The points with their coordinates on the host, where few pairs are compared."""
    rest = None if points.rest is None else np.asarray(points.rest)
    return points._replace(values=np.asarray(points.values), rest=rest)


def first_alike(points: Points) -> Int[np.ndarray, " m"]:
    """For each point, the first point with the same coordinates, which may be itself.

    Most often the first; some are missed where different points have the same norm.
    """
    _, first, kinds = np.unique(np.asarray(points.norms), return_index=True, return_inverse=True)
    alike = first[kinds]
    (rows,) = np.nonzero(alike != np.arange(len(alike)))
    parts = [np.asarray(part) for part in (points.values, points.rest) if part is not None]
    same = np.all([(part[rows] == part[alike[rows]]).all(axis=1) for part in parts], axis=0)
    alike[rows[~same]] = rows[~same]
    return alike


def same_length(*arrays: ArrayLike) -> int:
    """The number of points that all arrays share.

    Raises:
        ValueError: where they differ.
    """
    lengths = [array.shape[0] for array in arrays]
    if len(set(lengths)) != 1:
        raise ValueError(f"expected the same number of points in every space, got {lengths}")
    return lengths[0]


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
    moved = (center * scale)[None]

    def one_cloud(
        values: Float[Array, "m d"], rest: Float[Array, "m d"] | None, count: int
    ) -> Points:
        values = values * scale
        rest = None if rest is None else rest * scale
        centered = values - moved
        if rest is not None:
            # The center may be another than the one that the rest is small beside.
            centered = centered + rest
        norms = sum_of_squares(centered)
        on_grid = numpy.asarray(rest is None) & _on_exact_grid(values, moved, centered, norms)
        present = numpy.arange(len(values)) < count
        return Points(values, rest, centered, norms, present, on_grid, base - shift)

    return tuple(one_cloud(*cloud) for cloud in zip(values, rests, counts, strict=True))


_form_on_device = jax.jit(_form)


def _on_exact_grid(
    values: Float[EitherArray, "n d"],
    center: Float[EitherArray, "1 d"],
    centered: Float[EitherArray, "n d"],
    norms: Float[EitherArray, " n"],
) -> Bool[EitherArray, ""]:
    """Whether centering was exact, and sums of products are whole numbers up to 2**24."""
    numpy = numpy_of(values)
    # |a|^2 + |b|^2 - 2 ab is at most 4 times the largest norm, which is below 2**22 of its square.
    exponent = numpy.frexp(numpy.max(norms))[1]
    spacing = numpy.ldexp(numpy.float32(1), (exponent - 21) // 2)

    def exact(values: Array, centered: Array) -> Bool[Array, ""]:
        on_grid = numpy.rint(centered / spacing) * spacing == centered
        # A rounded difference would hide small steps; it cannot be undone from both sides.
        unrounded = (values - centered == center) & (centered + center == values)
        return numpy.all(on_grid & unrounded)

    # On the host, the first rows of an ordinary cloud spare a look at all of them.
    if numpy is np and not exact(values[:_FIRST_ROWS], centered[:_FIRST_ROWS]):
        return np.asarray(False)
    return exact(values, centered)
