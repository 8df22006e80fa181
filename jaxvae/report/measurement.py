"""A measurement of arrays as labelled records."""

from collections.abc import Mapping, Sequence

import xarray as xr

from jaxvae.analysis.measure import Measurement, Measurements
from jaxvae.analysis.registry import METRICS
from jaxvae.files.words import counted
from jaxvae.metrics import jackknife_error

_SUFFIXES = ("", "_stderr", "_subset", "_null", "_null_spread")
_ERRORS = {
    "subsets": "from disjoint subsets of the points, or from the jackknife where a value is near "
    "the least that so few points can have",
    "jackknife": "from the jackknife",
}
# Metrics of the nearest neighbors change by jumps.
_TOO_LARGE = ", which is up to twice too large here (a better one needs 100 points in every part)"
_NULLS = {
    "gaussian_null": "a Gaussian of the same n and covariance",
    "unrelated_null": "the same spaces with their points shuffled",
}


def as_records(
    measurements: Measurements, *, files: Sequence[str], attributes: Mapping[str, str | int]
) -> xr.Dataset:
    """Measurements as a data set.

    Args:
        measurements: what was measured.
        files: where every space came from.
        attributes: what else to keep, such as seed and versions.

    Returns:
        Dimensions `space, space_to, rank`. A metric `m` has the variables `m`,
        `m_stderr`, `m_subset` (at n / parts points), `m_null`, `m_null_spread`,
        and where they exist `m_distinct` and `m_radius`.
    """
    records = xr.Dataset(
        {"features": ("space", list(measurements.features))},
        coords={
            "space": list(measurements.spaces),
            "space_to": list(measurements.spaces),
            "file": ("space", list(files)),
        },
        attrs={
            "metrics": ",".join(measurements.metrics),
            "points": measurements.points,
            "available": measurements.available,
            "parts": measurements.parts,
            "draws": measurements.draws,
            "repeated": measurements.repeated,
            **attributes,
        },
    )
    for name, measurement in measurements.metrics.items():
        records = records.assign(_variables(name, measurement))
        if measurement.ranks is not None:
            records = records.assign_coords(rank=measurement.ranks)
    return records


def has_null(records: xr.Dataset) -> bool:
    """Whether the metrics were measured of a null, too."""
    return int(records.attrs["draws"]) > 0


def _variables(name: str, measurement: Measurement) -> dict[str, tuple]:
    metric, stem = METRICS[name], variable(name)
    dimensions: tuple[str, ...] = ("space",)
    if measurement.value.ndim == 2:
        dimensions = ("space", "rank" if measurement.ranks is not None else "space_to")
    is_upper_bound = measurement.error == "jackknife" and metric.error is not jackknife_error
    attributes = {
        "long_name": metric.title,
        "error": _ERRORS[measurement.error] + (_TOO_LARGE if is_upper_bound else ""),
        "null": _NULLS[metric.null.__name__],
        **({} if measurement.k is None else {"k": measurement.k}),
    }
    arrays = dict(zip(_SUFFIXES, measurement[: len(_SUFFIXES)], strict=True))
    variables: dict[str, tuple] = {
        stem + suffix: (dimensions, array, attributes) for suffix, array in arrays.items()
    }
    if measurement.distinct is not None:
        variables[f"{stem}_distinct"] = ("space", measurement.distinct)
    if measurement.radii is not None:
        variables[f"{stem}_radius"] = (("space", "rank"), measurement.radii)
    return variables


def variable(metric: str) -> str:
    """The variable of a metric in the records."""
    return metric.replace("-", "_")


def metrics_of(records: xr.Dataset) -> list[str]:
    """The metrics that the records hold, in the order they were asked for."""
    return records.attrs["metrics"].split(",")


def title(records: xr.Dataset) -> str:
    """The number of spaces and of points, and of how many the points were drawn."""
    points, available = int(records.attrs["points"]), int(records.attrs["available"])
    of = (
        "" if points == available else f" of {available:,}, drawn with seed {records.attrs['seed']}"
    )
    return f"{counted(records.sizes['space'], 'space')}, {points:,} points{of}"
