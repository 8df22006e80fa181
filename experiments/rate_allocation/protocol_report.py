"""A grid of betas as its paper measured it, and beside one-layer VAEs of the same size."""

from pathlib import Path

import numpy as np
import xarray as xr

from experiments.rate_allocation.summary import rate_title
from experiments.rate_allocation.uses import (
    MODELS,
    accuracy_of_images,
    cells_of,
    classified,
    halves,
    trust,
    trusted,
)
from jaxvae.report.page import Table
from jaxvae.report.style import draw_spread, figure
from jaxvae.report.tables import decimals, over_seeds

_PROTOCOL = (
    "The accuracy of a layer is that of the best of four classifiers of posterior means, which "
    "learn from the first 80% of the test images and are tested on the others; no rate bounds the "
    "accuracy from means. The accuracy on reconstructions is that of the classifier that judges "
    "generated images. The inception score is the mean ± the standard deviation over five parts "
    "of the samples, which is lower than the score of all samples."
)
_BASELINE = (
    "VAEs of one layer, z_1, with as many parameters as the hierarchy. The accuracy is that of "
    "classifiers of latent samples, each chosen among four on one half of the images and tested "
    "on the other."
)


def protocol_tables(records: xr.Dataset) -> list[Table]:
    """The tables of both, as far as they were measured."""
    tables = []
    if "split_accuracy" in records:
        tables.append(Table("As Xiao and Bamler measure", _protocol_rows(records), _PROTOCOL))
    if "baseline_rate" in records:
        name = "One-layer VAEs of the same size"
        tables.append(Table(name, _baseline_rows(records), _BASELINE))
    return tables


def _protocol_rows(records: xr.Dataset) -> list[dict[str, str]]:
    layers = classified(records, 2)
    best = records["split_accuracy"].max("classifier")
    names = ("reconstruction_accuracy", "split_score", "split_score_deviation")
    scores = trusted(records.assign(split_accuracy=best), "split_accuracy", *names)
    return [
        {
            "beta top": f"{top:.3g}",
            "beta bottom": f"{bottom:.3g}",
            **{
                f"acc. {layer}": decimals(float(cell["split_accuracy"].sel(layer=layer)), 3)
                for layer in layers
            },
            "acc. reconstructions": decimals(float(cell["reconstruction_accuracy"]), 3),
            "IS of parts": over_seeds(
                float(cell["split_score"]), float(cell["split_score_deviation"]), 2
            ),
        }
        for top, bottom in cells_of(records)
        for cell in [scores.sel(beta_top=top, beta_bottom=bottom)]
    ]


def _baseline_rows(records: xr.Dataset) -> list[dict[str, str]]:
    columns = {
        "R": ("baseline_rate", 1),
        "D": ("baseline_distortion", 1),
        "PSNR dB": ("baseline_psnr", 1),
        "acc.": ("baseline_accuracy", 3),
        "IS": ("baseline_inception_score", 2),
    }
    means = records[[name for name, _ in columns.values()]].mean("seed")
    return [
        {"beta": f"{beta:.3g}"}
        | {
            column: decimals(float(means[name].sel(price=beta)), digits)
            for column, (name, digits) in columns.items()
        }
        for beta in records["price"].values[means["baseline_rate"].notnull()]
    ]


def draw_baseline(records: xr.Dataset, path: Path) -> None:
    """Every cell by its total rate, and the line of one-layer VAEs, without untrusted runs.

    In both, classifiers are chosen on one half of the images and tested on the other. Only the
    layer of a cell, the better one of two, is chosen on the images that it is tested on.
    """
    measured = records[["rates", "distortion", "psnr", "inception_score"]].isel(epoch=-1)
    flat = measured.where(trust(records)).stack(cell=MODELS)
    upper, lower = (part.values for part in halves(flat))
    total, line = upper + lower, records.transpose("price", "seed", ...)
    layers = [
        accuracy_of_images(records, layer).mean("image", skipna=False).drop_vars("layer")
        for layer in classified(records, 2)
    ]
    # NaN where no layer was classified.
    best = xr.concat([trust(records) * np.nan, *layers], "layer").max("layer")
    sampled = best.where(trust(records)).stack(cell=MODELS)
    panels = {
        "distortion, nats": (flat["distortion"], "baseline_distortion"),
        "PSNR, dB": (flat["psnr"], "baseline_psnr"),
        "accuracy of samples, best layer": (sampled, "baseline_accuracy"),
        "inception score": (flat["inception_score"], "baseline_inception_score"),
    }
    with figure(path, size=(9.5, 6.4), title=rate_title(records)) as drawing:
        grid = drawing.subplots(2, 2, sharex=True)
        share = upper / np.where(total > 0, total, 1)
        for axes, (name, (values, baseline)) in zip(grid.flat, panels.items(), strict=True):
            style = {"cmap": "coolwarm", "vmin": 0, "vmax": 1, "s": 20, "zorder": 3}
            dots = axes.scatter(total, values, c=share, **style)
            rates = line["baseline_rate"].mean("seed").values
            spread = line[baseline].values
            draw_spread(axes, rates, spread, color="black", label="one layer, the same size")
            axes.set_title(name)
            axes.set_xlim(left=0)
            if not np.isfinite(values).any():
                axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
        for axes in grid[1]:
            axes.set_xlabel("total rate, nats per image")
        grid[0, 0].legend()
        drawing.colorbar(dots, ax=grid, label="share of the upper layers in the rate", shrink=0.8)
