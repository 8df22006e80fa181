"""The figures of a grid of betas, from its records."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from experiments.rate_allocation.protocol_report import draw_baseline
from experiments.rate_allocation.summary import rate_title
from experiments.rate_allocation.uses import (
    MODELS,
    Cell,
    Use,
    classified,
    corners,
    half_names,
    halves,
    most_rate,
    scores_of_examples,
    trusted,
)
from jaxvae.analysis.rate_plane import rate_distortion_hull
from jaxvae.metrics.information import accuracy_bound
from jaxvae.report.style import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    draw_each,
    draw_rows,
    figure,
    mark_epochs,
)

# Layers that have a panel of their own, at most.
_PANELS = 4
_COLORS = (BLUE, ORANGE, GREEN, RED)
_MARKERS = "osD^"


def draw_rate_figures(records: xr.Dataset, every_use: list[Use], folder: Path) -> list[Path]:
    """All figures of a grid.

    Args:
        records: dimensions `beta_top, beta_bottom, seed, epoch, layer, kind, classifier`, as
            `experiments.rate_allocation` saves them.
        every_use: their uses.
        folder: where the PNG files go; made where absent.

    Returns:
        The files.
    """
    drawings: dict[str, Callable[[xr.Dataset, Path], None]] = {
        "rate_plane": partial(_rate_plane, every_use),
        **({"accuracy": _accuracy} if classified(records, 1) else {}),
        "rate_distortion": _rate_distortion,
        "training": _training,
        "layers": _layers,
        "geometry": _geometry,
        "examples": _examples,
        **({"baseline": draw_baseline} if "baseline_rate" in records else {}),
    }
    return draw_each(drawings, records, folder)


def _rate_plane(every_use: list[Use], records: xr.Dataset, path: Path) -> None:
    flat = records.isel(epoch=-1).stack(cell=MODELS)
    names = {"reconstruction": "PSNR, dB", "generation": "inception score"}
    scores = {
        name: values.mean(str(values.dims[-1]), skipna=False).stack(cell=MODELS)
        for name, values in scores_of_examples(records).items()
        if name != "compression"
    }
    by_name, suspect = {use.name: use for use in every_use}, flat["suspect"].values
    upper, lower = (part.values for part in halves(flat))
    title = rate_title(records)
    if not any(use.leaves_some_out for use in every_use):
        title += " (no cell is shown to be better than another)"
    with figure(path, size=(10.5, 8.4), title=title) as drawing:
        grid = drawing.subplots(2, 2, sharex=True, sharey=True)
        for axes, (use, values) in zip(grid.flat, scores.items(), strict=False):
            _draw_plane(axes, records.isel(epoch=-1))
            dots = axes.scatter(lower, upper, c=values.values, cmap="viridis", s=36, zorder=3)
            crosses = {"color": "tab:red", "markersize": 5, "zorder": 5}
            if suspect.any():
                axes.plot(lower[suspect], upper[suspect], "x", label="suspect", **crosses)
            drawing.colorbar(dots, ax=axes)
            if use in by_name:
                _mark(axes, records, [by_name[use].highest], "*", "highest mean")
                if by_name[use].leaves_some_out:
                    _mark(axes, records, by_name[use].best, "o", "cannot be told from the best")
            axes.set_title(names.get(use, use.replace("classification", "accuracy of samples")))
        first, second = half_names(records)
        for axes in grid[1]:
            axes.set_xlabel(f"rate of {second}, nats")
        for axes in grid[:, 0]:
            axes.set_ylabel(f"rate of {first}, nats")
        grid[0, 0].legend(loc="upper right")


def _mark(axes: Axes, records: xr.Dataset, marked: list[Cell], marker: str, label: str) -> None:
    trust = trusted(records, "rates")
    points = [halves(trust.sel(beta_top=top, beta_bottom=bottom)) for top, bottom in marked]
    y, x = ([float(part[side]) for part in points] for side in (0, 1))
    axes.plot(x, y, marker, color="tab:red", mfc="none", markersize=13, zorder=6, label=label)


def _draw_plane(axes: Axes, last: xr.Dataset) -> None:
    """Lines of equal total rate, a line through the cells of equal betas, a ring at beta = 1."""
    upper, lower = halves(last.mean("seed"))
    most = float((upper + lower).max())
    totals = MaxNLocator(6).tick_values(0, most)
    for index, total in enumerate(totals[1:]):
        label = "equal total rate" if index == 0 else None
        axes.plot([0, total], [total, 0], color="0.8", linewidth=0.8, zorder=1, label=label)
    shared = sorted(set(last["beta_top"].values) & set(last["beta_bottom"].values))
    if len(shared) > 1:
        path = [
            [float(part.sel(beta_top=beta, beta_bottom=beta)) for beta in shared]
            for part in (lower, upper)
        ]
        axes.plot(*path, color="0.4", linewidth=1, zorder=2, label="equal betas")
    if 1.0 in shared:
        rates = (float(part.sel(beta_top=1.0, beta_bottom=1.0)) for part in (lower, upper))
        axes.plot(
            *rates, "o", markersize=11, mfc="none", mec="black", zorder=4, label="both betas 1"
        )
    # A cell without rate is shown whole, and lines end where the cells do.
    for limit, part in ((axes.set_xlim, lower), (axes.set_ylim, upper)):
        widest = max(float(part.max()), 1e-3)
        limit(-0.03 * widest, 1.06 * widest)


def _accuracy(records: xr.Dataset, path: Path) -> None:
    """Accuracy against the rate of a layer and above, filled for samples, open for means."""
    flat = records.isel(epoch=-1).stack(cell=MODELS)
    layers, shares = classified(records, _PANELS), records["label_shares"].values
    with figure(path, size=(4.6 * len(layers) + 1.6, 4.2), title=rate_title(records)) as drawing:
        panels = drawing.subplots(1, len(layers), sharey=True, squeeze=False)[0]
        for axes, layer in zip(panels, layers, strict=True):
            of_layer = flat.sel(layer=layer)
            nats = of_layer["known_information"].values
            most = max(2, 1.3 * np.nanmax(nats))
            # It is 1 from the entropy of the labels on, which is at most that of equal shares.
            line = np.append(np.linspace(0, np.log(len(shares)), 100), most)
            bound = accuracy_bound(line, shares)
            axes.plot(line, bound, color="black", label="bound of samples")
            if layer == records["layer"].values[0]:
                tight = {"fmt": "_", "color": "black", "markersize": 9, "elinewidth": 0.8}
                values, errors = (
                    of_layer["top_accuracy_bound"],
                    of_layer["top_accuracy_bound_stderr"],
                )
                label = "bound by the mutual\ninformation with the label"
                axes.errorbar(nats, values, errors, label=label, **tight)
            drawn = zip(records["classifier"].values, _COLORS, _MARKERS, strict=False)
            for name, color, marker in drawn:
                one = of_layer["accuracy"].sel(classifier=name)
                axes.plot(nats, one.sel(kind="sample"), marker, color=color, label=name)
                axes.plot(nats, one.sel(kind="mean"), marker, color=color, mfc="none", alpha=0.6)
            # Where the axis turns from even to logarithmic, the bound would have a kink.
            axes.set_xscale("symlog", linthresh=np.log(len(shares)))
            axes.set_xlim(-0.1, most)
            axes.set_xlabel(f"rate of {layer} and above, nats (logarithmic above {line[-2]:.1f})")
            axes.set_title(f"From {layer}")
        panels[0].set_ylabel("accuracy (filled: samples, open: means)")
        handles, labels = panels[0].get_legend_handles_labels()
        panels[-1].legend(handles, labels, loc="center left", bbox_to_anchor=(1, 0.5))


def _rate_distortion(records: xr.Dataset, path: Path) -> None:
    flat = records.isel(epoch=-1).stack(cell=MODELS)
    upper, lower = (part.values for part in halves(flat))
    total, distortion = upper + lower, flat["distortion"].values
    hull = rate_distortion_hull(total, distortion)
    first, _ = half_names(records)
    with figure(path, size=(7, 4.6), title=rate_title(records)) as drawing:
        axes = drawing.subplots()
        axes.plot(total[hull], distortion[hull], color="0.4", linewidth=1, label="lower hull")
        share = upper / np.where(total > 0, total, 1)
        dots = axes.scatter(total, distortion, c=share, cmap="coolwarm", vmin=0, vmax=1, zorder=3)
        drawing.colorbar(dots, ax=axes, label=f"share of {first} in the rate")
        axes.set_xlabel("total rate, nats per image")
        axes.set_ylabel("distortion, nats per image")
        axes.set_title("Distortion against total rate")
        axes.legend()


def _training(records: xr.Dataset, path: Path) -> None:
    """Rates of both halves over training in the corners of the grid."""
    first, second = half_names(records)
    with figure(path, size=(9, 6), title=f"{rate_title(records)}: over training") as drawing:
        grid = drawing.subplots(2, 2, sharex=True, sharey=True)
        for axes, (top, bottom) in zip(grid.flat, corners(records), strict=False):
            cell = records.sel(beta_top=top, beta_bottom=bottom)
            for name, part, color in zip((first, second), halves(cell), _COLORS, strict=False):
                values = part.transpose("epoch", "seed").values
                axes.plot(records["epoch"], values, "o-", color=color)
                axes.plot([], [], "o-", color=color, label=name)
            axes.set_title(f"beta {top:g} at the top, {bottom:g} at the bottom")
            mark_epochs(axes, records["epoch"].values.tolist())
        for axes in grid[1]:
            axes.set_xlabel("epoch")
        for axes in grid[:, 0]:
            axes.set_ylabel("rate, nats per image")
        grid[0, 0].legend()


def _layers(records: xr.Dataset, path: Path) -> None:
    """The rate of every layer, in the corners of the grid."""
    last, layers = records.isel(epoch=-1).mean("seed"), records["layer"].values
    width = max(6.5, 0.45 * len(layers) + 4)
    with figure(path, size=(width, 4.4), title=rate_title(records)) as drawing:
        left, right = drawing.subplots(2, 1, sharex=True)
        for (top, bottom), color in zip(corners(records), _COLORS, strict=False):
            rates = last["rates"].sel(beta_top=top, beta_bottom=bottom).values
            label = f"beta {top:g} at the top,\n{bottom:g} at the bottom"
            left.plot(range(len(layers)), rates, "o-", color=color, label=label)
            right.plot(range(len(layers)), rates / records["size"].values, "o-", color=color)
        left.set_ylabel("nats")
        right.set_ylabel("nats per dimension")
        left.set_title("Rate of every layer")
        right.set_yscale("symlog", linthresh=0.01)
        right.axhline(0.01, color="0.4", linestyle="--", linewidth=1, label="taken as collapsed")
        right.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        right.set_xticks(range(len(layers)), layers)
        left.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _geometry(records: xr.Dataset, path: Path) -> None:
    """Dimension and imbalance of layers beside their rates."""
    flat = records.isel(epoch=-1).stack(cell=MODELS)
    layers = most_rate(records, _PANELS)
    panels = {
        "Intrinsic dimension (TwoNN)": ("rates", "intrinsic_dimension"),
        "Δ(layer → input)": ("information_bounds", "imbalance_to_input"),
        "Δ(input → layer)": ("information_bounds", "imbalance_from_input"),
    }
    with figure(path, size=(13, 4.2), title=rate_title(records)) as drawing:
        grid = drawing.subplots(1, 3)
        for axes, (name, (against, what)) in zip(grid, panels.items(), strict=True):
            for layer, color in zip(layers, _COLORS, strict=False):
                of_layer = flat.sel(layer=layer)
                for kind, fill in (("sample", color), ("mean", "none")):
                    values = of_layer[what].sel(kind=kind)
                    axes.plot(of_layer[against], values, "o", color=color, markerfacecolor=fill)
                axes.plot([], [], "o", color=color, label=layer)
            axes.set_xscale("symlog", linthresh=1)
            beyond = "rate of the layer" if against == "rates" else "rate of the layer and above"
            axes.set_xlabel(f"{beyond}, nats (logarithmic above 1)")
            axes.set_title(name)
        data = float(flat["input_dimension"].mean())
        grid[0].axhline(data, color="0.3", linestyle="--", linewidth=1, label="data")
        grid[1].set_ylim(bottom=0)
        grid[2].set_ylim(bottom=0)
        grid[0].plot([], [], "o", color="0.4", label="sample")
        grid[0].plot([], [], "o", color="0.4", markerfacecolor="none", label="mean")
        grid[0].legend()


def _examples(records: xr.Dataset, path: Path) -> None:
    names = records["corner"].values
    with figure(path, size=(12, 0.55 * (len(names) + 1) + 0.9), title=rate_title(records)) as d:
        left, right = d.subplots(1, 2)
        rebuilt = dict(zip(names, records["example_reconstruction"].values, strict=True))
        draw_rows(left, {"test images": records["example_input"].values, **rebuilt})
        left.set_title("Reconstructions")
        draw_rows(right, dict(zip(names, records["example_sample"].values, strict=True)))
        right.set_title("Ancestral samples")
        for axes in (left, right):
            axes.set_anchor("N")
