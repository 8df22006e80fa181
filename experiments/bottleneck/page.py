"""The page of a bottleneck sweep, from its records."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from matplotlib.colors import to_hex

from experiments.bottleneck.claims import claims
from experiments.bottleneck.summary import CAPTION, conclusion, summary_rows, title
from jaxvae.report.page import Chart, Page, Table, Trace, settings_of
from jaxvae.report.style import bottleneck_colors
from jaxvae.report.traces import (
    LINE_NUMBERS,
    MAP_NUMBERS,
    heat_map,
    line,
    shown_epochs,
    stderr_over,
    whole_axis,
)

_LOG = {"type": "log"}
_REST = (
    "Hover for the mean over seeds, its standard error and, where there is one, its null: the "
    "value of Gaussian noise of the same size."
)


def bottleneck_page(records: xr.Dataset) -> Page:
    """The page of the sweep: its conclusions, and its layers over epochs and bottleneck sizes."""
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
    reads = (
        "Δ(layer → input): near 0, neighbors in the layer are neighbors among the images; near 1, "
        f"the layer says nothing about the images. {_REST}"
    )
    traces = [*_profiles(records, records["imbalance_to_input"], None)]
    name = "Information of the input that every layer lacks"
    return _profile(records, name, reads, "Δ(layer → input)", traces)._replace(
        layout={"yaxis": _LOG}
    )


def _profile(
    records: xr.Dataset,
    name: str,
    reads: str,
    y: str,
    traces: list[Trace],
) -> Chart:
    epochs, note = _of_lines(records)
    choices = {"epoch": [str(epoch) for epoch in epochs]}
    return Chart(name, reads + note, traces, "layer", y, choices)


def _of_lines(records: xr.Dataset) -> tuple[list[int], str]:
    """The epochs that charts of lines show, and the sentence that says which are left out."""
    per_epoch = records.sizes["bottleneck"] * records.sizes["layer"]
    return shown_epochs(records["epoch"].values.tolist(), per_epoch=per_epoch, most=LINE_NUMBERS)


def _profiles(
    records: xr.Dataset, values: xr.DataArray, null: xr.DataArray | None
) -> Iterator[Trace]:
    """A line for every size at every epoch; the null is that of the sample."""
    layers = [name for name in records["layer"].values.tolist() if name != "log_variance"]
    for size, color in bottleneck_colors(records["bottleneck"].values.tolist()).items():
        nothing = np.full(len(layers), np.nan)
        if null is not None:
            nothing[layers.index("sample")] = float(null.sel(bottleneck=size))
        for epoch in _of_lines(records)[0]:
            profile = values.sel(bottleneck=size, epoch=epoch, layer=layers)
            drawn = line(
                layers,
                profile.mean("seed").values,
                stderr_over(profile, "seed"),
                name=f"K = {size}",
                color=to_hex(color),
                null=nothing,
            )
            yield Trace(drawn, {"epoch": str(epoch)})


def _map(records: xr.Dataset) -> Chart:
    layers, traces = records["layer"].values.tolist(), []
    per_epoch = records.sizes["bottleneck"] * len(layers) ** 2
    epochs, note = shown_epochs(
        records["epoch"].values.tolist(), per_epoch=per_epoch, most=MAP_NUMBERS
    )
    for size in records["bottleneck"].values:
        for epoch in epochs:
            imbalance = records["imbalance"].sel(bottleneck=size, epoch=epoch)
            imbalance = imbalance.transpose("layer", "other_layer", "seed")
            mean = imbalance.mean("seed").values
            drawn = heat_map(layers, layers, mean, stderr_over(imbalance, "seed"))
            traces.append(Trace(drawn, {"epoch": str(epoch), "K": str(size)}))
    return Chart(
        "Information imbalance between all layers",
        "Δ(row → column): near 0, neighbors in the layer of the row are neighbors in that of the "
        f"column; near 1, the row says nothing about the column. {_REST}{note}",
        traces,
        "to",
        "from",
        {
            "K": [str(size) for size in records["bottleneck"].values],
            "epoch": [str(epoch) for epoch in epochs],
        },
        {"yaxis": {"autorange": "reversed"}},
    )


def _learning(records: xr.Dataset) -> Chart:
    hidden = ("input", "log_variance")
    layers = [name for name in records["layer"].values.tolist() if name not in hidden]
    colors, traces = bottleneck_colors(records["bottleneck"].values.tolist()), []
    epochs, note = _of_lines(records)
    for layer in layers:
        for size, color in colors.items():
            imbalance = records["imbalance_to_input"].sel(
                layer=layer, bottleneck=size, epoch=epochs
            )
            drawn = line(
                epochs,
                imbalance.mean("seed").values,
                stderr_over(imbalance, "seed"),
                name=f"K = {size}",
                color=to_hex(color),
            )
            traces.append(Trace(drawn, {"layer": layer}))
    reads = (
        f"Δ(layer → input) over training, with a line for every K; choose the layer. {_REST}{note}"
    )
    choices, heading = {"layer": layers}, "Δ(layer → input)"
    layout = {"xaxis": whole_axis(epochs), "yaxis": _LOG}
    return Chart("Learning of a layer", reads, traces, "epoch", heading, choices, layout)
