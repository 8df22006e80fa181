"""The figures of learning dynamics, from its records."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from experiments.learning_dynamics.config import DataAndNetwork
from experiments.learning_dynamics.selection import (
    KINDS,
    between,
    by_objective,
    learning,
    lost_by_layer,
    to_final,
)
from jaxvae.report.style import (
    BLUE,
    GREEN,
    ORANGE,
    bands,
    draw_spread,
    figure,
    mark_epochs,
)

_COLORS = {"seeds": BLUE, "strengths": GREEN, "objectives": ORANGE}


def draw_dynamics(records: Sequence[xr.Dataset], folder: Path) -> list[Path]:
    """All figures of learning dynamics.

    Args:
        records: one for every data set and network, as `experiments.learning_dynamics`
            saves them.
        folder: where the PNG files go; made where absent.

    Returns:
        The files.
    """
    paths = []
    for group in records:
        name = DataAndNetwork(group.attrs["data"], group.attrs["network"]).name.replace("/", "_")
        for kind, draw in (("layers", _layers), ("learning", _learning), ("latents", _latents)):
            paths.append(folder / f"{name}_{kind}.png")
            draw(group, paths[-1])
    paths.append(folder / "convergence.png")
    _convergence(records, paths[-1])
    if any(between(group, kind) for group in records for kind in KINDS):
        paths.append(folder / "between_models.png")
        _between_models(records, paths[-1])
    return paths


def _layers(group: xr.Dataset, path: Path) -> None:
    """Layers at every epoch against layers at the end, with a row for every objective."""
    groups, epochs = list(by_objective(group)), group["epoch"].values
    size = (2.1 * len(epochs) + 1.6, 2.1 * len(groups) + 0.9)
    title = f"{_name(group)}: debiased CKA of layers at an epoch with layers at the end"
    with figure(path, size=size, title=title) as drawing:
        grid = drawing.subplots(len(groups), len(epochs), squeeze=False, sharex=True, sharey=True)
        for row, (objective, models) in zip(grid, groups, strict=True):
            last = models["debiased_cka"].isel(other_epoch=-1).mean("run")
            for axes, epoch in zip(row, epochs, strict=True):
                matrix = last.sel(epoch=epoch).transpose("layer", "other_layer").values
                image = axes.imshow(matrix, vmin=0, vmax=1, cmap="magma", interpolation="nearest")
                _mark_both(axes, group["layer"].values.tolist())
                if objective == groups[0][0]:
                    axes.set_title(f"epoch {epoch:g}")
            row[0].set_ylabel(objective)
        drawing.supxlabel("layer at the end", fontsize=9)
        drawing.supylabel("layer at the epoch", fontsize=9)
        drawing.colorbar(image, ax=grid, shrink=0.6, label="debiased CKA")


def _mark_both(axes: Axes, layers: list[str]) -> None:
    short = [layer.replace("encoder/", "e").replace("decoder/", "d") for layer in layers]
    short = [
        {"log_variance": "logvar", "sample": "z", "output": "out", "input": "in"}.get(s, s)
        for s in short
    ]
    axes.set_xticks(range(len(layers)), short, rotation=90, fontsize=6)
    axes.set_yticks(range(len(layers)), short, fontsize=6)
    axes.grid(visible=False)


def _learning(group: xr.Dataset, path: Path) -> None:
    """Similarity of each layer to its final state against the epoch."""
    groups = list(by_objective(group))
    columns = math.ceil(math.sqrt(len(groups)))
    rows = -(-len(groups) // columns)
    colors = layer_colors(group["layer"].values.tolist())
    widest = max(models.sizes["run"] for _, models in groups)
    title = f"{_name(group)}: similarity of each layer to its own final state"
    title += bands(widest, "models")
    size = (3.6 * columns + 1.8, 3.2 * rows + 0.5)
    with figure(path, size=size, title=title) as drawing:
        grid = drawing.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes, (objective, models) in zip(grid.flat, groups, strict=False):
            similarity = to_final(models)
            for layer, (color, style) in colors.items():
                values = similarity.sel(layer=layer).transpose("epoch", "run").values
                epochs = group["epoch"].values
                draw_spread(axes, epochs, values, color=color, label=layer, linestyle=style)
            axes.set_title(objective)
            axes.set_ylim(top=1.02)
            mark_epochs(axes, group["epoch"].values.tolist())
        for axes in grid.flat[len(groups) :]:
            axes.set_visible(False)
        for above, below in zip(grid, [*grid[1:], [None] * columns], strict=True):
            for axes, next_axes in zip(above, below, strict=True):
                is_last = next_axes is None or not next_axes.get_visible()
                axes.tick_params(labelbottom=is_last)
                axes.set_xlabel("epoch" if is_last else "")
        for row in grid:
            row[0].set_ylabel("debiased CKA")
        grid[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=7)


def layer_colors(layers: list[str]) -> dict[str, tuple[tuple[float, float, float, float], str]]:
    """Blue for the encoder, green for the latents, orange for the decoder."""
    palettes = {"encoder/": "Blues", "decoder/": "Oranges"}
    colors: dict[str, tuple[tuple[float, float, float, float], str]] = {}
    for start, palette in palettes.items():
        own = [layer for layer in layers if layer.startswith(start)]
        for shade, layer in zip(np.linspace(0.45, 1, len(own)), own, strict=True):
            colors[layer] = (mpl.colormaps[palette](shade), "-")
    latents = ("mean", "log_variance", "sample")
    for layer, shade in zip(latents, (0.9, 0.65, 0.45), strict=True):
        colors[layer] = (mpl.colormaps["Greens"](shade), "--")
    return {layer: colors[layer] for layer in layers if layer in colors}


def _latents(group: xr.Dataset, path: Path) -> None:
    """The polarised regime: kinds of latents and KL of each, over training."""
    groups, epochs = list(by_objective(group)), group["epoch"].values
    kinds = {"active": BLUE, "mixed": ORANGE, "passive": "0.5"}
    size = (3.0 * len(groups) + 1.2, 5.4)
    title = f"{_name(group)}: active, mixed and passive latents, and their rates"
    title += bands(max(models.sizes["run"] for _, models in groups), "models")
    with figure(path, size=size, title=title) as drawing:
        grid = drawing.subplots(2, len(groups), squeeze=False, sharex=True, sharey="row")
        for (above, below), (objective, models) in zip(grid.T, groups, strict=True):
            for kind, color in kinds.items():
                values = models[f"{kind}_latents"].transpose("epoch", "run").values
                draw_spread(above, epochs, values, color=color, label=kind)
            above.set_title(objective)
            rates = models["kl_per_latent"].isel(run=0).transpose("epoch", "latent").values
            below.plot(epochs, np.sort(rates, axis=1)[:, ::-1], color=BLUE, alpha=0.6)
            below.set_xlabel("epoch")
        grid[0, 0].set_ylabel("latents")
        grid[1, 0].set_ylabel("KL of every latent, nats\n(one model, sorted)")
        grid[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))


def _convergence(records: Sequence[xr.Dataset], path: Path) -> None:
    """Encoder against decoder: a point for every model."""
    names = list(dict.fromkeys(name for group in records for name, _ in by_objective(group)))
    height = 0.34 * len(names) + 0.8
    size = (8.5, height * len(records) + 0.6)
    title = "Mean epoch at which layers learned what was left to learn: one point per model"
    with figure(path, size=size, title=title) as drawing:
        panels = drawing.subplots(len(records), 1, squeeze=False, sharex=True)[:, 0]
        for axes, group in zip(panels, records, strict=True):
            for objective, models in by_objective(group):
                learned, row = learning(models).learned, names.index(objective)
                for half, color, shift in (
                    ("encoder", BLUE, -0.12),
                    ("decoder", ORANGE, 0.12),
                ):
                    epochs = getattr(learned, half)
                    label = half if row == 0 else None
                    axes.plot(
                        epochs, np.full(len(epochs), row + shift), "o", color=color, label=label
                    )
            axes.set_yticks(range(len(names)), names)
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.set_title(_name(group))
        # From epoch 0 on, or from before it, where fluctuations put a layer there.
        panels[0].set_xlim(left=min(0, panels[0].get_xlim()[0]))
        for axes, group in zip(panels, records, strict=True):
            # A layer that first moves away from its final state is beyond it.
            if (last := float(group["epoch"][-1])) < axes.get_xlim()[1]:
                axes.axvline(last, color="0.4", linestyle="--", linewidth=1, label="last epoch")
        panels[0].legend(loc="upper left", bbox_to_anchor=(1, 1))
        panels[-1].set_xlabel("epoch, mean over the layers")


def _between_models(records: Sequence[xr.Dataset], path: Path) -> None:
    """Similarity of models of other seeds, and what another strength or objective takes of it."""
    size = (11, 2.8 * len(records) + 0.8)
    title = "Debiased CKA at the end, between models of different seeds"
    with figure(path, size=size, title=title) as drawing:
        grid = drawing.subplots(len(records), 2, squeeze=False, sharey="col")
        for (left, right), group in zip(grid, records, strict=True):
            layers = group["layer"].values.tolist()
            for kind, color in _COLORS.items():
                values = between(group, kind)
                if values is not None:
                    left.plot(list(values.values()), "o-", color=color, label=KINDS[kind])
                if kind == "seeds":
                    continue
                lost = lost_by_layer(group, kind)
                low, high = lost.limits()
                away = np.where(np.isnan(low), 0, (high - low) / 2)
                right.errorbar(
                    range(len(layers)), lost.value, away, fmt="o", color=color, capsize=2
                )
            left.set_ylim(0, 1.02)
            left.set_title(_name(group))
            right.axhline(0, color="0.3", linewidth=0.8)
            right.set_title("how much lower than of another seed (95% limits)")
            for axes in (left, right):
                axes.set_xticks(range(len(layers)), layers, rotation=45, ha="right")
        drawing.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower left", ncols=3)


def _name(group: xr.Dataset) -> str:
    return f"{group.attrs['data']}, {group.attrs['network']}"
