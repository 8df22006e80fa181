"""The page of a bottleneck sweep, from its records."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from matplotlib.colors import to_hex

from experiments.bottleneck.between_report import BETWEEN, between_rows
from experiments.bottleneck.claims import claims, decoder_layers
from experiments.bottleneck.summary import CAPTION, conclusion, summary_rows, title
from jaxvae.report.page import Chart, Page, Table, Trace, settings_of
from jaxvae.report.style import BLUE, GREEN, ORANGE, bottleneck_colors
from jaxvae.report.traces import (
    ACCENT,
    LINE_NUMBERS,
    MAP_NUMBERS,
    heat_map,
    level_line,
    line,
    listed_axis,
    shown_epochs,
    stderr_over,
    whole_axis,
)

_LOG = {"type": "log"}
# Also of a single line.
_LEGEND = {"showlegend": True}
_HOVER = "Hover for the mean over seeds and its standard error."
_WITH_NULL = (
    "Hover for the mean over seeds, its standard error and, for the sample, its null: the value of "
    "Gaussian noise of the same size."
)


def bottleneck_page(records: xr.Dataset) -> Page:
    """The page of the sweep: its conclusions, and its layers over epochs and bottleneck sizes."""
    charts = []
    if "imbalance" in records:
        charts = [
            *_against_size(records),
            _dimension(records),
            _lost(records),
            _map(records),
            _learning(records),
        ]
    tables = [Table("All bottleneck sizes", summary_rows(records), CAPTION)]
    if "imbalance_between" in records:
        name = "Δ between the posterior means of different models"
        tables.append(Table(name, between_rows(records), BETWEEN))
    return Page(
        title(records),
        [conclusion(records), *claims(records)],
        settings_of(records),
        charts,
        tables,
    )


def _against_size(records: xr.Dataset) -> tuple[Chart, Chart]:
    """What the reconstructions lose, and the dimension of the bottleneck, against its size."""
    last, sizes = records.isel(epoch=-1), records["bottleneck"].values.tolist()
    dimension, axis = last["intrinsic_dimension"], {"xaxis": listed_axis(sizes)}
    imbalance = last["imbalance_to_input"].sel(layer="output")
    least, of_data = 2 / records.attrs["points"], float(dimension.sel(layer="input").mean())
    # Level lines are seen of one size, too.
    ends = (sizes[0] / 1.3, sizes[-1] * 1.3)
    lost = [
        _over_sizes(imbalance, "output", ACCENT),
        Trace(level_line(ends, least, name=f"same neighbors: {least:.2g}")),
    ]
    null = {
        "type": "scatter",
        "mode": "markers",
        "name": "null of the sample",
        "x": sizes,
        "y": records["intrinsic_dimension_null"].values,
        "hovertemplate": "K = %{x}, %{fullData.name}: %{y:.4g}<extra></extra>",
        "marker": {"color": ORANGE, "symbol": "x", "size": 8},
    }
    decoder = dimension.sel(layer=decoder_layers(records)).max("layer")
    found = [
        _over_sizes(dimension.sel(layer="mean"), "mean", BLUE),
        _over_sizes(dimension.sel(layer="sample"), "sample", ORANGE),
        _over_sizes(decoder, "largest in the decoder", GREEN),
        Trace(null),
        Trace(level_line(ends, of_data, name=f"data: {of_data:.1f}")),
    ]
    return (
        Chart(
            "Information lost in reconstruction",
            "Δ(output → input) at the last epoch, near 1 where reconstructions say nothing of the "
            "images. The dashed line is its value where all nearest neighbors are the same, 2/n "
            f"for n images. {_HOVER}",
            lost,
            "bottleneck size K",
            "Δ(output → input)",
            layout={**axis, "yaxis": _LOG},
        ),
        Chart(
            "Dimension of the bottleneck",
            "The intrinsic dimension (TwoNN) at the last epoch. The null is that of Gaussian noise "
            f"of as many dimensions as the bottleneck has. {_HOVER}",
            found,
            "bottleneck size K",
            "intrinsic dimension",
            layout={**axis, "yaxis": {"rangemode": "tozero"}},
        ),
    )


def _over_sizes(values: xr.DataArray, name: str, color: str) -> Trace:
    mean, stderr = values.mean("seed").values, stderr_over(values, "seed")
    drawn = line(values["bottleneck"].values.tolist(), mean, stderr, name=name, color=color)
    return Trace({**drawn, "hovertemplate": "K = %{x}, %{fullData.name}: %{text}<extra></extra>"})


def _dimension(records: xr.Dataset) -> Chart:
    reads = f"Each line is a bottleneck size K, layer by layer at one epoch. {_WITH_NULL}"
    null = records["intrinsic_dimension_null"]
    traces = [*_profiles(records, records["intrinsic_dimension"], null)]
    return _profile(records, "Intrinsic dimension of every layer", reads, "dimension", traces)


def _lost(records: xr.Dataset) -> Chart:
    reads = (
        "Δ(layer → input): near 0, neighbors in the layer are neighbors among the images; near 1, "
        f"the layer says nothing about the images. {_HOVER}"
    )
    traces = [*_profiles(records, records["imbalance_to_input"], None)]
    name = "Information of the input that every layer lacks"
    return _profile(records, name, reads, "Δ(layer → input)", traces)._replace(
        layout={"yaxis": _LOG, **_LEGEND}
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
    return Chart(name, reads + note, traces, "layer", y, choices, _LEGEND)


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
            stderr = stderr_over(imbalance, "seed")
            least = 2 / records.attrs["points"]
            drawn = heat_map(layers, layers, mean, stderr, name="Δ", least=least)
            traces.append(Trace(drawn, {"epoch": str(epoch), "K": str(size)}))
    return Chart(
        "Information imbalance between all layers",
        "Δ(row → column): near 0, neighbors in the layer of the row are neighbors in that of the "
        f"column; near 1, the row says nothing about the column. {_HOVER}{note}",
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
        f"Δ(layer → input) over training, with a line for every K; choose the layer. {_HOVER}{note}"
    )
    choices, heading = {"layer": layers}, "Δ(layer → input)"
    layout = {"xaxis": whole_axis(epochs), "yaxis": _LOG, **_LEGEND}
    return Chart("Learning of a layer", reads, traces, "epoch", heading, choices, layout)
