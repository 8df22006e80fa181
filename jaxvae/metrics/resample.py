"""The uncertainty of any metric, by measuring it again on some of the points.

A metric is any function `f(*arrays)` of arrays whose rows are the same points; it
returns a scalar, or a tree of arrays such as `Dimension` or a matrix over layers,
and every statistic here is taken leaf by leaf.

Which error is valid: `subsample_error` where the metric looks at the nearest few
neighbors (TwoNN, imbalance at k = 1); `jackknife_error` for smooth functions of
moments (CKA, Procrustes, CCA), and as an upper bound for metrics of many neighbors
(overlaps, Levina-Bickel, Gride), which reach too far in a small subset.
The bootstrap is not here: rows
drawn with replacement repeat, a repeated row is its own neighbor at distance zero,
and every statistic of neighbors breaks on it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from jaxvae.files.refusals import as_count
from jaxvae.geometry.arrays import as_row_array, refuse_no_key
from jaxvae.geometry.host import as_results, is_on_host
from jaxvae.geometry.points import same_length
from jaxvae.typing import ArrayLike, EitherArray, Key

Metric: TypeAlias = Callable[..., Any]


class Subsamples(NamedTuple):
    """A metric over disjoint random subsets; every field has the form of its result.

    Attributes:
        mean: over the subsets: the metric at n / parts points, which is not the
            metric at n where that depends on n, as a dimension does.
        spread: standard deviation of the metric from one draw of n / parts
            points to the next.
        stderr: `spread / sqrt(parts)`, the standard error of `mean`; also that
            of the metric at all n points, if its spread falls as `1 / sqrt(n)`.
        values: `[parts, ...]`, the metric on every subset.
    """

    mean: Any
    spread: Any
    stderr: Any
    values: Any


class Jackknife(NamedTuple):
    """A metric with one group of points left out at a time; fields as its result.

    Attributes:
        mean: over the groups left out.
        stderr: standard error of the metric at n points.
        values: `[parts, ...]`, the metric without each group.
    """

    mean: Any
    stderr: Any
    values: Any


def subsample_error(key: Key, metric: Metric, *arrays: ArrayLike, parts: int = 10) -> Subsamples:
    """Spread and standard error of a metric from disjoint random subsets.

    The points are dealt at random into `parts` subsets of `n // parts`; up to
    `parts - 1` points stay out. For independent points the subsets are
    independent draws, so `mean` and `spread**2` estimate without bias what the
    metric has AT THAT SIZE, whatever the metric: neighbors are sought within a
    subset, and nothing is assumed of how the points depend on each other.

    Two steps lead from there to n points, and neither is free. First the spread
    must fall as `1 / sqrt(n)`. Over fresh draws of n = 1,000 with 10 parts,
    `stderr` was 0.9 to 1.1 times the true one for TwoNN of Gaussians (2 and 5
    dimensions) and for imbalances above 0.1. It was too large, 5.6 times, for an
    imbalance of 0.003, whose floor is 2 / n, and 3.0 times for CKA of unrelated
    data, which falls with n. It was too small, 0.5 to 0.9 times, for overlaps with
    k = 30 of the 100 points of a subset. Second, the metric itself moves with n:
    compare `mean` with the metric on all points. `stderr` does not include that.

    Args:
        key: key of the random division into subsets.
        metric: `f(*arrays)`. All subsets have one shape: what it has jitted is
            compiled once.
        *arrays: each `[n, ...]`, rows of the same points; labels `[n]` are such an array.
        parts: subsets, 2 to n. `spread` is known to a share of
            `1 / sqrt(2 (parts - 1))`: 24% for 10.

    Returns:
        `Subsamples`. NaN of the metric on any subset gives NaN.

    Raises:
        ValueError: for no arrays, parts outside 2 to n, different n, what is no key or a
            traced one, and what the metric refuses, such as too few points in a subset.
    """
    arrays, subsets = _deal(key, arrays, parts)
    parts = len(subsets)
    values = stacked([_on_rows(metric, arrays, rows) for rows in subsets])
    mean, spread = mean_over(values), spread_over(values)
    stderr = jax.tree.map(lambda s: s / parts**0.5, spread)
    return as_arrays(Subsamples(mean, spread, stderr, values))


def jackknife_error(key: Key, metric: Metric, *arrays: ArrayLike, parts: int = 10) -> Jackknife:
    """Standard error of a smooth metric by leaving out one group of points at a time.

    `sqrt((g - 1) / g * sum_i (theta_i - mean)^2)`, with g parts and theta_i being the metric
    without the random group i of `n // g` points; up to g - 1 points stay out
    of all. Valid for smooth functions of averages over points: CKA, Procrustes,
    CCA, variances. It measures near the full n, where wide data have the bias
    that they have at n: for CKA and Procrustes of 50 dimensions and n = 1,000 it
    was 1.0 times the true error, and `subsample_error` 0.8 to 0.9 times. For CKA of
    unrelated data, whose value is its floor, it was 1.2 to 1.5 times.

    Not valid for neighbors, which change by jumps: the error is then an upper
    bound. It was 1.6 to 1.7 times the true one for TwoNN of Gaussians, 1.3 to 1.9
    times for the imbalance, and less the more neighbors are averaged: 1.4 times for
    Levina-Bickel at k = 20, 1.0 to 1.7 times for overlaps at k = 30, the more the
    wider and the less alike the spaces are. Nor is it valid for
    counts over a threshold, such as the number of active units.

    Args:
        key: key of the groups.
        metric: `f(*arrays)`; it always gets arrays of one shape.
        *arrays: each `[n, ...]`, rows of the same points.
        parts: groups, 2 to n. The error is known to a share of `1 / sqrt(2 (parts - 1))`.

    Returns:
        `Jackknife`. NaN of the metric without any group gives NaN.

    Raises:
        ValueError: for no arrays, parts outside 2 to n, different n, what is no key or a
            traced one, and what the metric refuses.

    Reference: Efron and Stein (1981); Kott (2001) for groups.
    """
    arrays, groups = _deal(key, arrays, parts)
    parts = len(groups)
    remaining = [np.delete(groups, group, axis=0).reshape(-1) for group in range(parts)]
    values = stacked([_on_rows(metric, arrays, rows) for rows in remaining])
    factor = (parts - 1) / parts**0.5
    stderr = jax.tree.map(lambda s: s * factor, spread_over(values))
    return as_arrays(Jackknife(mean_over(values), stderr, values))


def _deal(
    key: Key, given: tuple[Any, ...], parts: int
) -> tuple[tuple[EitherArray, ...], Int[np.ndarray, "parts m"]]:
    """The arrays, and random disjoint rows of them, the same number in every part."""
    arrays = tuple(map(as_row_array, given))
    if len(arrays) == 0:
        raise ValueError("expected at least one array, got none")
    n = same_length(*arrays)
    parts = as_count(parts, f"expected 2 <= parts <= n = {n}, got parts = {parts}", least=2, most=n)
    size = n // parts
    rows = generator_of(key).permutation(n)[: parts * size]
    return arrays, rows.reshape(parts, size)


def generator_of(key: Key) -> np.random.Generator:
    """Draws on the host that follow from the key: nothing is compiled for a new n.

    Raises:
        ValueError: for what is no key, and for one that is traced, from which the host cannot draw.
    """
    refuse_no_key(key)
    if isinstance(key, jax.core.Tracer):
        raise ValueError(
            "expected a key of known value, got one that a transformed function takes as its "
            "argument: draw outside of jit and vmap, or close over the key"
        )
    with jax.ensure_compile_time_eval():  # the key is known also where other things are traced
        return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())


def _on_rows(metric: Metric, arrays: tuple[ArrayLike, ...], rows: Int[np.ndarray, " m"]) -> Any:
    return metric(*(rows_of(array, rows) for array in arrays))


def rows_of(array: ArrayLike, rows: Int[np.ndarray, " m"]) -> ArrayLike:
    """Some rows, on the host where the array is there."""
    # On the host a float64 array stays one, for the metric to center before it rounds.
    return np.asarray(array)[rows] if is_on_host(array) else array[rows]


def stacked(results: list[Any]) -> Any:
    """Trees of one form as a tree of arrays with one more axis, the first."""

    def stack(*leaves: Any) -> EitherArray:
        known = all(map(is_on_host, leaves))
        return np.stack(list(map(np.asarray, leaves))) if known else jnp.stack(leaves)

    return jax.tree.map(stack, *results)


def mean_over(values: Any) -> Any:
    """Mean of every leaf over its first axis."""
    return jax.tree.map(lambda leaf: leaf.mean(axis=0), values)


def spread_over(values: Any) -> Any:
    """Standard deviation of every leaf over its first axis, dividing by one less."""
    return jax.tree.map(lambda leaf: leaf.std(axis=0, ddof=1), values)


def as_arrays(statistics: Any) -> Any:
    """The statistics as arrays of 32 bits, where they are known."""
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(statistics))
    return statistics if traced else as_results(statistics)
