"""The page of a bottleneck sweep, from its records."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from matplotlib.colors import to_hex

from experiments.bottleneck.claims import claims
from experiments.bottleneck.summary import CAPTION, conclusion, summary_rows, title
from jaxvae.report.page import Chart, Page, Table, Trace, settings_of
from jaxvae.report.style import bottleneck_colors
from jaxvae.report.traces import heat_map, line

_LOG = {"yaxis": {"type": "log"}}
_REST = "Hover for the mean over seeds, its standard error and, where there is one, its null."


def bottleneck_page(records: xr.Dataset) -> Page:
    """What the sweep found, and its layers over epochs and bottleneck sizes."""
    charts = []
    if "imbalance" in records:
        charts = [_dimension(records), _lost(records), _map(records), _learning(records)]
    return Page(
        title(records),
        [conclusion(records), *claims(records)],
        settings_of(records),
        charts,
        [Table("All bottleneck sizes", summary_rows(records), CAPTION)],
    )


def _dimension(records: xr.Dataset) -> Chart:
    reads = f"Each line is a bottleneck size K, layer by layer at one epoch. {_REST}"
    null = records["intrinsic_dimension_null"]
    traces = [*_profiles(records, records["intrinsic_dimension"], null)]
    return _profile(records, "Intrinsic dimension of every layer", reads, "dimension", traces)


def _lost(records: xr.Dataset) -> Chart:
    reads = f"Δ(layer → input): near 0 a layer holds all of the input, near 1 nothing. {_REST}"
    traces = [*_profiles(records, records["imbalance_to_input"], None)]
    name = "What every layer lacks of the input"
    return _profile(records, name, reads, "Δ(layer → input)", traces)._replace(layout=_LOG)


def _profile(records: xr.Dataset, name: str, reads: str, y: str, traces: list[Trace]) -> Chart:
    return Chart(name, reads, traces, "layer", y, {"epoch": _words(records, "epoch")})


def _profiles(
    records: xr.Dataset, values: xr.DataArray, null: xr.DataArray | None
) -> Iterator[Trace]:
    """A line for every size at every epoch; the null is that of the sample."""
    layers = [name for name in records["layer"].values.tolist() if name != "log_variance"]
    for size, color in bottleneck_colors(records["bottleneck"].values.tolist()).items():
        nothing = np.full(len(layers), np.nan)
        if null is not None:
            nothing[layers.index("sample")] = float(null.sel(bottleneck=size))
        for epoch in records["epoch"].values:
            here = values.sel(bottleneck=size, epoch=epoch, layer=layers)
            drawn = line(
                layers,
                here.mean("seed").values,
                _stderr(here),
                name=f"K = {size}",
                color=to_hex(color),
                null=nothing,
            )
            yield Trace(drawn, {"epoch": str(epoch)})


def _stderr(values: xr.DataArray) -> np.ndarray:
    """Of the mean, by the spread of the seeds; NaN for one."""
    seeds = values.sizes["seed"]
    if seeds == 1:
        return np.full(values.isel(seed=0).shape, np.nan)
    return (values.std("seed", ddof=1) / np.sqrt(seeds)).values


def _map(records: xr.Dataset) -> Chart:
    layers, traces = records["layer"].values.tolist(), []
    for size in records["bottleneck"].values:
        for epoch in records["epoch"].values:
            here = records["imbalance"].sel(bottleneck=size, epoch=epoch)
            here = here.transpose("layer", "other_layer", "seed")
            mean = here.mean("seed").values
            drawn = heat_map(layers, layers, mean, _stderr(here))
            traces.append(Trace(drawn, {"epoch": str(epoch), "K": str(size)}))
    return Chart(
        "Information imbalance between all layers",
        f"Δ(row → column): near 0 the row holds all of the column, near 1 nothing. {_REST}",
        traces,
        "to",
        "from",
        {"K": _words(records, "bottleneck"), "epoch": _words(records, "epoch")},
        {"yaxis": {"autorange": "reversed"}},
    )


def _learning(records: xr.Dataset) -> Chart:
    hidden = ("input", "log_variance")
    layers = [name for name in records["layer"].values.tolist() if name not in hidden]
    colors, epochs = bottleneck_colors(records["bottleneck"].values.tolist()), records["epoch"]
    traces = []
    for layer in layers:
        for size, color in colors.items():
            here = records["imbalance_to_input"].sel(layer=layer, bottleneck=size)
            drawn = line(
                epochs.values.tolist(),
                here.mean("seed").values,
                _stderr(here),
                name=f"K = {size}",
                color=to_hex(color),
            )
            traces.append(Trace(drawn, {"layer": layer}))
    reads = f"Δ(layer → input) over training, a line per K; choose the layer. {_REST}"
    choices, lost = {"layer": layers}, "Δ(layer → input)"
    return Chart("Learning of a layer", reads, traces, "epoch", lost, choices, _LOG)


def _words(records: xr.Dataset, name: str) -> list[str]:
    return [str(value) for value in records[name].values]
