"""The page of a measurement of arrays, from its records."""

import numpy as np
import xarray as xr

from jaxvae.analysis.estimate import Estimate
from jaxvae.analysis.registry import METRICS
from jaxvae.files.words import first_few
from jaxvae.report.measurement import has_null, metrics_of, title, variable
from jaxvae.report.measurement_tables import caption, cells, in_one_line
from jaxvae.report.page import Chart, Page, Table, Trace, settings_of
from jaxvae.report.tables import with_error
from jaxvae.report.traces import ACCENT, SECOND, heat_map, line, listed_axis

# So many spaces are named in a sentence.
_NAMED = 6


def measurement_page(records: xr.Dataset) -> Page:
    """A chart and a table of every metric.

    Args:
        records: from `as_records`.
    """
    names = metrics_of(records)
    return Page(
        title(records),
        [_found(records, name) for name in names],
        settings_of(records),
        [_chart(records, name) for name in names],
        [_table(records, name) for name in names],
    )


def _found(records: xr.Dataset, name: str) -> str:
    """The values of a metric in a sentence: of every space, or the least and largest of pairs."""
    stem, spaces = variable(name), records["space"].values.tolist()
    value, stderr = records[stem], records[f"{stem}_stderr"]
    if "space_to" not in value.dims:
        # Over scales: that of the nearest neighbors, where the estimate rests on most points.
        numbers = [each.isel(rank=0, missing_dims="ignore").values for each in (value, stderr)]
        texts = [
            f"{x} {with_error(Estimate(*two))}" for x, *two in zip(spaces, *numbers, strict=True)
        ]
        at = f" (r = {records['rank'].values[0]})" if "rank" in value.dims else ""
        return f"{METRICS[name].title}{at}: {first_few(texts, most=_NAMED)}."
    others = np.where(np.eye(len(spaces), dtype=bool), np.nan, value.values)
    if not np.isfinite(others).any():
        return f"{METRICS[name].title}: undefined between all spaces."
    pairs = [np.unravel_index(find(others), others.shape) for find in (np.nanargmin, np.nanargmax)]
    least, most = (
        f"{with_error(Estimate(value.values[at], stderr.values[at]))} from {spaces[at[0]]} to "
        f"{spaces[at[1]]}"
        for at in pairs
    )
    return f"{METRICS[name].title}: at least {least}, at most {most}."


def _table(records: xr.Dataset, name: str) -> Table:
    header, rows = cells(records, name)
    columns = ["space", *(column.replace("\n", " ") for column in header)]
    shown = []
    for row_name, row in rows.items():
        shown.append(dict(zip(columns, (row_name, *map(in_one_line, row)), strict=True)))
    return Table(METRICS[name].title, shown, caption(records, name))


def _chart(records: xr.Dataset, name: str) -> Chart:
    stem, spaces = variable(name), records["space"].values.tolist()
    value, stderr, null = (records[stem + end].values for end in ("", "_stderr", "_null"))
    metric = METRICS[name]
    shown = "value, standard error and null" if has_null(records) else "value and standard error"
    text = f"{metric.reads[0].upper()}{metric.reads[1:]}. Hover over it for its {shown}."
    chart = Chart(metric.title, text, [])
    if "space_to" in records[stem].dims:
        short, least = name, None
        if name == "imbalance":
            short, least = "Δ", (records[stem].attrs["k"] + 1) / records.attrs["points"]
        return chart._replace(
            traces=[Trace(heat_map(spaces, spaces, value, stderr, null, name=short, least=least))],
            x="to",
            y="from",
            layout={"yaxis": {"autorange": "reversed"}},
        )
    if "rank" not in records[stem].dims:
        # Arrays are in no order: no line joins them.
        drawn = line(spaces, value, stderr, name="value", color=ACCENT, null=null)
        traces = [Trace({**drawn, "mode": "markers"})]
        if has_null(records):
            of_null = line(spaces, null, np.full_like(null, np.nan), name="null", color=SECOND)
            traces.append(Trace({**of_null, "mode": "markers", "marker": {"symbol": "x"}}))
        return chart._replace(traces=traces, x="array", y=metric.title)
    ranks, traces = records["rank"].values.tolist(), []
    for space, *numbers, nothing in zip(spaces, value, stderr, null, strict=True):
        drawn = line(ranks, *numbers, name=space, color=ACCENT, null=nothing)
        traces.append(Trace(drawn, {"space": space}))
    return chart._replace(
        traces=traces,
        x="rank of the neighbor",
        y="intrinsic dimension",
        choices={"space": spaces[::-1]},
        layout={"xaxis": listed_axis(ranks)},
    )
