"""The figures of a bottleneck sweep, from its records."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from experiments.bottleneck.between_report import draw_between
from experiments.bottleneck.claims import decoder_layers
from experiments.bottleneck.scales import draw_scales
from experiments.bottleneck.summary import title
from jaxvae.report.style import (
    BLUE,
    GREEN,
    ORANGE,
    bands,
    bottleneck_colors,
    draw_each,
    draw_rows,
    draw_spread,
    figure,
    mark_bottlenecks,
    mark_epochs,
    mark_layers,
    mark_logarithm,
)


def draw_figures(records: xr.Dataset, folder: Path) -> list[Path]:
    """All figures of a sweep, as far as it is done.

    Args:
        records: dimensions `bottleneck, seed, epoch, layer`, as
            `experiments.bottleneck` saves them.
        folder: where the PNG files go; made where absent.

    Returns:
        The files.
    """
    name = _title(records)
    scales = partial(draw_scales, title=f"{name}: dimension from near to far neighbors")
    drawings: dict[str, tuple[Callable[[xr.Dataset, Path], None], str]] = {
        "dimension_profile": (_dimension_profile, "intrinsic_dimension"),
        "dimension_scale": (scales, "scale_dimension"),
        "imbalance_profile": (_imbalance_profile, "imbalance"),
        "against_bottleneck": (_against_bottleneck, "imbalance"),
        "between_bottlenecks": (partial(draw_between, title=title(records)), "imbalance_between"),
        "phases": (_phases, "imbalance"),
        "examples": (_examples, "example_input"),
    }
    possible = {file: draw for file, (draw, needed) in drawings.items() if needed in records}
    return draw_each(possible, records, folder)


def _dimension_profile(records: xr.Dataset, path: Path) -> None:
    last, layers = _path_of(records)
    with figure(path, size=(8.5, 4.6), title=_title(records)) as drawing:
        axes = drawing.subplots()
        _draw_layers(axes, last["intrinsic_dimension"], layers)
        data = float(last["intrinsic_dimension"].sel(layer="input").mean())
        axes.axhline(data, color="0.3", linestyle="--", linewidth=1, label=f"data: {data:.1f}")
        colors = bottleneck_colors(records["bottleneck"].values.tolist())
        column = layers.index("sample")
        for index, (size, color) in enumerate(colors.items()):
            null = float(records["intrinsic_dimension_null"].sel(bottleneck=size))
            label = "null: Gaussian of\nthe same n and K" if index == 0 else None
            axes.plot(
                column, null, marker="x", markersize=7, color=color, linestyle="none", label=label
            )
        axes.set_ylabel("intrinsic dimension (TwoNN)")
        axes.set_ylim(bottom=0)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        axes.set_title(f"Intrinsic dimension of every layer{_points(records)}")


def _imbalance_profile(records: xr.Dataset, path: Path) -> None:
    last, layers = _path_of(records)
    with figure(path, size=(12.5, 4.4), title=_title(records)) as drawing:
        panels = drawing.subplots(1, 3)
        for axes, name in zip(panels, ("input", "output"), strict=False):
            _draw_layers(axes, last[f"imbalance_to_{name}"], layers)
            axes.set_ylabel(f"Δ(layer → {name})")
            mark_logarithm(axes)
            axes.set_title(f"Information of the {name} that a layer lacks")
        _draw_asymmetry(panels[2], last["imbalance"], layers)
        panels[2].legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _draw_asymmetry(axes: Axes, imbalance: xr.DataArray, layers: list[str]) -> None:
    colors = bottleneck_colors(imbalance["bottleneck"].values.tolist())
    for size, color in colors.items():
        matrix = imbalance.sel(bottleneck=size).transpose("layer", "other_layer", "seed").values
        forward = np.stack([matrix[i, i + 1] for i in range(len(layers) - 1)])
        backward = np.stack([matrix[i + 1, i] for i in range(len(layers) - 1)])
        difference = 2 * (forward - backward) / (forward + backward)
        draw_spread(axes, np.arange(1, len(layers)), difference, color=color, label=f"K = {size}")
    mark_layers(axes, layers)
    axes.axhline(0, color="0.3", linewidth=0.8)
    axes.set_ylabel("(Δ(before → layer) - Δ(layer → before)) / mean")
    axes.set_title("Information gained (+) or lost (-) by a layer")


def _against_bottleneck(records: xr.Dataset, path: Path) -> None:
    last, sizes = records.isel(epoch=-1), records["bottleneck"].values.tolist()
    dimension = last["intrinsic_dimension"]
    with figure(path, size=(10, 4.2), title=_title(records)) as drawing:
        left, right = drawing.subplots(1, 2)
        imbalance = last["imbalance_to_input"].sel(layer="output").transpose("bottleneck", "seed")
        draw_spread(left, np.array(sizes), imbalance.values, color=BLUE)
        # Of the same images, of which the nearest neighbor is the first of n - 1.
        least = 2 / records.attrs["points"]
        left.axhline(least, color="0.3", linestyle="--", linewidth=1, label="same neighbors")
        left.set_ylabel("Δ(output → input)")
        mark_logarithm(left)
        left.set_ylim(top=max(left.get_ylim()[1], 10 * least))
        left.set_title("Information lost in reconstruction (1: all)")
        left.legend()
        decoder = dimension.sel(layer=decoder_layers(records)).max("layer", skipna=True)
        lines = {
            "mean": (dimension.sel(layer="mean"), BLUE),
            "sample": (dimension.sel(layer="sample"), ORANGE),
            "largest in the decoder": (decoder, GREEN),
        }
        for name, (values, color) in lines.items():
            spread = values.transpose("bottleneck", "seed").values
            draw_spread(right, np.array(sizes), spread, color=color, label=name)
        null = records["intrinsic_dimension_null"].values
        right.plot(sizes, null, "x", markersize=7, color="0.2", label="null: Gaussian")
        data = float(dimension.sel(layer="input").mean())
        right.axhline(data, color="0.3", linestyle="--", linewidth=1, label="data")
        right.set_ylabel("intrinsic dimension (TwoNN)")
        right.set_title("Dimension of the bottleneck")
        right.set_ylim(bottom=0)
        right.legend()
        for axes in (left, right):
            mark_bottlenecks(axes, sizes)


def _phases(records: xr.Dataset, path: Path) -> None:
    # Beside the untrained network, what changes later is not seen.
    if records.sizes["epoch"] > 3:
        records = records.isel(epoch=records["epoch"].values > 0)
    dimension = records["intrinsic_dimension"]
    panels = {
        "reconstruction, nats per image": records["reconstruction"],
        "KL, nats per image": records["kl"],
        "ID of the mean": dimension.sel(layer="mean"),
        "largest ID in the decoder": dimension.sel(layer=decoder_layers(records)).max("layer"),
        "Δ(output → input)": records["imbalance_to_input"].sel(layer="output"),
        "Δ(sample → input)": records["imbalance_to_input"].sel(layer="sample"),
    }
    colors = bottleneck_colors(records["bottleneck"].values.tolist())
    epochs = records["epoch"].values
    with figure(path, size=(11.5, 6.2), title=f"{_title(records)}: over training") as drawing:
        grid = drawing.subplots(2, 3, sharex=True)
        for axes, (name, values) in zip(grid.flat, panels.items(), strict=True):
            for size, color in colors.items():
                spread = values.sel(bottleneck=size).transpose("epoch", "seed").values
                draw_spread(axes, epochs, spread, color=color, label=f"K = {size}")
            axes.set_title(name)
            mark_epochs(axes, epochs.tolist())
            if "Δ" in name:
                mark_logarithm(axes)
        for axes in grid[1]:
            axes.set_xlabel("epoch")
        grid[0, 2].legend(loc="upper left", bbox_to_anchor=(1, 1))


def _examples(records: xr.Dataset, path: Path) -> None:
    every = {f"K = {size}": records.sel(bottleneck=size) for size in records["bottleneck"].values}
    made = {name: run for name, run in every.items() if run["example_reconstruction"].any()}
    reconstructions = {name: run["example_reconstruction"].values for name, run in made.items()}
    samples = {name: run["example_sample"].values for name, run in made.items()}
    height = 0.55 * (len(made) + 1) + 0.8
    with figure(path, size=(12, height), title=title(records)) as drawing:
        left, right = drawing.subplots(1, 2)
        inputs = {"test images": records["example_input"].values}
        draw_rows(left, inputs | reconstructions)
        left.set_title("Reconstructions")
        draw_rows(right, samples)
        right.set_title("Decoded samples of the prior")
        for axes in (left, right):
            axes.set_anchor("N")


def _draw_layers(axes: Axes, values: xr.DataArray, layers: list[str]) -> None:
    for size, color in bottleneck_colors(values["bottleneck"].values.tolist()).items():
        spread = values.sel(bottleneck=size).transpose("layer", "seed").values
        draw_spread(axes, np.arange(len(layers)), spread, color=color, label=f"K = {size}")
    mark_layers(axes, layers)


def _path_of(records: xr.Dataset) -> tuple[xr.Dataset, list[str]]:
    """The last epoch, and the layers that follow each other: log_variance is beside the mean."""
    layers = [name for name in records["layer"].values if name != "log_variance"]
    return records.isel(epoch=-1).sel(layer=layers, other_layer=layers), layers


def _title(records: xr.Dataset) -> str:
    return title(records) + bands(records.sizes["seed"])


def _points(records: xr.Dataset) -> str:
    return f" ({records.attrs['points']:,} test images)"
