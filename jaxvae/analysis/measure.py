"""Any arrays of representations -> metrics of spaces and pairs, with errors and nulls."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from jaxvae.analysis.registry import METRICS, Metric
from jaxvae.analysis.spaces import as_spaces, choose_rows, finite_rows
from jaxvae.files.refusals import as_count, did_you_mean
from jaxvae.geometry.arrays import refuse_no_key
from jaxvae.metrics.resample import Subsamples, jackknife_error, subsample_error
from jaxvae.typing import ArrayLike, Key

# Subsets smaller than this say little about a metric at n. Fewer and larger ones are no way out:
# of two to four subsets, one data set in ten has an error below a third of the true one.
_SUBSET = 100
_PARTS = 10
# Where a subset has so many times the value, it is nearer to its floor, which falls with n: then
# its spread says nothing about that of all points.
_FAR = 1.5


class Measurement(NamedTuple):
    """One metric of l spaces: `[l]`, `[l, l]` from row to column, or `[l, s]` over scales.

    Attributes:
        value: at all n points.
        stderr: its standard error, by the method of the metric (`Metric.error`). By
            `jackknife_error`, which is up to twice too large for metrics of neighbors, if n /
            parts is below 100 (over fresh data sets of 60 to 450 points it was 1.3 to 2 times
            the true error for TwoNN and imbalances); and where a subset has more than 1.5 times
            the value, as an imbalance near its floor has.
        subset: the metric at n / parts points, whose distance from `value` is
            how far n matters; NaN where `error` is `jackknife`.
        null: mean over draws of the null (`Metric.null`); NaN without draws.
        null_spread: standard deviation of one draw.
        distinct: `[l]`, distinct points of a dimension, else None.
        ranks: `[s]`, the scales of a dimension as neighbor ranks, else None.
        radii: `[l, s]`, the same as distances in units of the input, else None.
        k: neighbors, or None where the metric has no such setting.
        error: `subsets` or `jackknife`, what `stderr` is from. With `subsets`, entries whose
            subset has more than 1.5 times the value have the error of a jackknife all the same.
    """

    value: Float[np.ndarray, "..."]
    stderr: Float[np.ndarray, "..."]
    subset: Float[np.ndarray, "..."]
    null: Float[np.ndarray, "..."]
    null_spread: Float[np.ndarray, "..."]
    distinct: Int[np.ndarray, " l"] | None
    ranks: Int[np.ndarray, " s"] | None
    radii: Float[np.ndarray, "l s"] | None
    k: int | None
    error: Literal["subsets", "jackknife"]


class Measurements(NamedTuple):
    """The measurements of l spaces over the same points, on the host.

    Attributes:
        spaces: their names, in the order given.
        features: `[l]`, width of every space.
        points: points measured.
        available: points there were.
        parts: groups of points that the errors rest on.
        draws: number of draws of every null.
        repeated: points that are in every space the same as one before them, bit by bit. They are
            no draws of their own, so that errors are too small where they are many.
        metrics: by name.
    """

    spaces: tuple[str, ...]
    features: tuple[int, ...]
    points: int
    available: int
    parts: int
    draws: int
    repeated: int
    metrics: dict[str, Measurement]


class Progress(NamedTuple):
    """How far a measurement is, and what is being measured.

    Attributes:
        done: share of the estimated work, 0 to 1.
        doing: the metric, and whether its value, error or null.
    """

    done: float
    doing: str


def measure(
    representations: Mapping[str, ArrayLike],
    *,
    key: Key,
    metrics: Sequence[str] = ("id", "imbalance", "cka"),
    labels: ArrayLike | None = None,
    points: int | None = None,
    k: int | None = None,
    parts: int | None = None,
    draws: int = 5,
    report: Callable[[Progress], None] = lambda _: None,
) -> Measurements:
    """Metrics of representations of the same points, each with its error and null.

    Args:
        representations: spaces by name, each `[n, ...]` of real numbers (arrays of NumPy,
            also memory-mapped, or JAX, and what has `__array__` or `__dlpack__`); trailing
            axes are flattened.
        key: key of the choice of points, the subsets of the errors, and the nulls.
            A metric has the same numbers whichever others are asked for.
        metrics: names in `jaxvae.analysis.METRICS`.
        labels: `[n]`, a class of every point, of any hashable type, for `label-overlap`.
        points: at most so many points, a random subset in their order; None
            for all. The dimension depends on their number.
        k: neighbors of the metrics that have this setting; None for the
            default of each.
        parts: random groups of points that an error rests on: disjoint subsets if each has
            100 points or more, else the groups of a jackknife; None for 10, or n where n is
            below 20.
        draws: data sets made for every null, 0 (no null) or at least 2.
        report: called after every step.

    Returns:
        `Measurements`.

    Raises:
        ValueError: for no spaces, unknown metrics, a metric of pairs with one
            space, missing labels, different n, arrays that are not real
            `[n, ...]`, NaN or infinity (with space and row), too few points
            for k or parts, and draws or points that are too few.
    """
    chosen = {name: _metric(name) for name in metrics}
    given, classes = as_spaces(representations, labels)
    available = len(next(iter(given.values())))
    refuse_no_key(key)
    rows_key, deal_key, null_key = jax.random.split(key, 3)
    rows = choose_rows(rows_key, available, points)
    spaces = {name: finite_rows(name, array, rows, available) for name, array in given.items()}
    if parts is None:
        # One of few points left out at a time leaves none out of all.
        parts = _PARTS if len(rows) >= 2 * _PARTS else len(rows)
    refusal = f"expected 2 to n = {len(rows)} parts, got {parts}"
    parts = as_count(parts, refusal, least=2, most=len(rows))
    refusal = f"expected draws of 0 (no null) or at least 2, got {draws}"
    draws = as_count(draws, refusal, least=0)
    if draws == 1:
        raise ValueError(refusal)
    if k is not None:
        k = as_count(k, f"expected k of at least 1, got {k}", least=1)
    _refuse_settings(chosen, len(spaces), labels, n=len(rows), k=k, parts=parts)
    label_array = None if classes is None else classes[rows]
    plan = {
        name: _Task(name, metric, _arrays(metric, spaces, label_array), k or metric.k)
        for name, metric in chosen.items()
    }
    meter = _meter(sum(_total_work(task, parts, draws) for task in plan.values()), report)
    keys = deal_key, null_key
    measured = {name: _measure_one(task, keys, parts, draws, meter) for name, task in plan.items()}
    features = tuple(int(np.prod(space.shape[1:])) for space in spaces.values())
    repeated = _repeated(list(spaces.values()))
    return Measurements(
        tuple(spaces), features, len(rows), available, parts, draws, repeated, measured
    )


def _repeated(spaces: Sequence[ArrayLike]) -> int:
    arrays = [np.asarray(space) for space in spaces]
    rows = (b"".join(array[row].tobytes() for array in arrays) for row in range(len(arrays[0])))
    return len(arrays[0]) - len(set(map(hash, rows)))


class _Task(NamedTuple):
    """A metric and what it is measured on."""

    name: str
    metric: Metric
    arrays: tuple[ArrayLike, ...]
    k: int | None


class _Meter(NamedTuple):
    """Keeps account of the work: `tell(work, doing, share)` of a step, `add(work)` at its end.

    `expect(work)` is told of what was not foreseen.
    """

    expect: Callable[[float], None]
    tell: Callable[[float, str, float], None]
    add: Callable[[float], None]


def _measure_one(
    task: _Task,
    keys: tuple[Key, Key],
    parts: int,
    draws: int,
    meter: _Meter,
) -> Measurement:
    metric, arrays = task.metric, task.arrays
    deal_key, null_key = keys

    def step(doing: str, *given: ArrayLike) -> Any:
        work, doing = _work(metric, given, len(given[0])), f"{task.name}: {doing}"
        progress = partial(meter.tell, work, doing)
        reading = jax.block_until_ready(metric.compute(given, task.k, progress))
        progress(1.0)
        meter.add(work)
        return reading

    meter.tell(0.0, f"{task.name}: value", 0.0)
    full = jax.device_get(step("value", *arrays))
    error_of = _error_of(metric, len(arrays[0]), parts)
    error = error_of(deal_key, partial(step, "error"), *arrays, parts=parts)
    stderr = np.asarray(error.stderr.value)
    subsampled = error_of is subsample_error
    if subsampled and (far := _is_far(error, full.value)).any():
        meter.expect(parts * _work(metric, arrays, _left(len(arrays[0]), parts)))
        near = jackknife_error(deal_key, partial(step, "error"), *arrays, parts=parts)
        stderr = np.where(far, near.stderr.value, stderr)
    nothing = np.full_like(full.value, np.nan)
    null = nothing, nothing
    if draws:
        nulls = metric.null(null_key, partial(step, "null"), *arrays, draws=draws)
        null = np.asarray(nulls.mean.value), np.asarray(nulls.spread.value)
    subset = np.asarray(error.mean.value) if subsampled else nothing
    ranks = None if full.ranks is None else full.ranks[0]
    return Measurement(
        full.value,
        stderr,
        subset,
        *null,
        distinct=full.distinct,
        ranks=ranks,
        radii=full.radii,
        k=task.k,
        error="subsets" if subsampled else "jackknife",
    )


def _error_of(metric: Metric, n: int, parts: int) -> Callable[..., Any]:
    return metric.error if n // parts >= _SUBSET else jackknife_error


def _is_far(error: Subsamples, value: Float[np.ndarray, "..."]) -> Bool[np.ndarray, "..."]:
    """Where a metric of subsets is so much larger that its spread is no error of that at n."""
    return (np.asarray(error.mean.value) > _FAR * value) & (np.asarray(error.stderr.value) > 0)


def _arrays(
    metric: Metric, spaces: Mapping[str, ArrayLike], labels: np.ndarray | None
) -> tuple[ArrayLike, ...]:
    # Labels come first: the null permutes every array but the first.
    return (*((labels,) if metric.of == "labels" else ()), *spaces.values())


def _work(metric: Metric, arrays: Sequence[ArrayLike], n: int) -> float:
    """Operations, roughly: a share of the progress bar."""
    width = sum(max(16, int(np.prod(array.shape[1:]))) for array in arrays)
    return float(n) * n * width if metric.neighbors else float(n) * width * width


def _total_work(task: _Task, parts: int, draws: int) -> float:
    n = len(task.arrays[0])
    work = partial(_work, task.metric, task.arrays)
    return (1 + draws) * work(n) + parts * work(_resampled(task.metric, n, parts))


def _resampled(metric: Metric, n: int, parts: int) -> int:
    """Points that its error measures at a time."""
    return n // parts if _error_of(metric, n, parts) is subsample_error else _left(n, parts)


def _left(n: int, parts: int) -> int:
    """Points without one group."""
    return n // parts * (parts - 1)


def _meter(total: float, report: Callable[[Progress], None]) -> _Meter:
    done = 0.0

    def expect(work: float) -> None:
        nonlocal total
        total += work

    def tell(work: float, doing: str, share: float) -> None:
        report(Progress(min((done + share * work) / total, 1.0), doing))

    def add(work: float) -> None:
        nonlocal done
        done += work

    return _Meter(expect, tell, add)


def _metric(name: str) -> Metric:
    if name not in METRICS:
        raise ValueError(
            f"expected metrics among {', '.join(METRICS)}; got {name}{did_you_mean(METRICS, name)}"
        )
    return METRICS[name]


def _refuse_settings(
    chosen: Mapping[str, Metric],
    spaces: int,
    labels: ArrayLike | None,
    *,
    n: int,
    k: int | None,
    parts: int,
) -> None:
    if not chosen:
        raise ValueError(f"expected at least one metric among {', '.join(METRICS)}; got none")
    for name, metric in chosen.items():
        if metric.of == "pairs" and spaces < 2:
            raise ValueError(f"expected at least two spaces for {name}, got {spaces}")
        if metric.of == "labels" and labels is None:
            raise ValueError(f"expected labels for {name}, got none")
        least = 1 + max(2, k if metric.k and k else metric.neighbors)
        if _resampled(metric, n, parts) < least:
            raise ValueError(
                f"expected {least} points or more for {name} in each of the {parts} samples of its "
                f"error, got {_resampled(metric, n, parts)} of n = {n}"
            )
