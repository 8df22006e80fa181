"""The page of a grid of betas, from its records."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
import xarray as xr

from experiments.rate_allocation.protocol_report import protocol_tables
from experiments.rate_allocation.summary import (
    highest_caption,
    highest_rows,
    rate_caption,
    rate_rows,
    rate_title,
)
from experiments.rate_allocation.uses import (
    Cell,
    Use,
    cell_name,
    cells_of,
    half_names,
    halves,
    trusted,
)
from jaxvae.analysis.estimate import Estimate
from jaxvae.report.page import Chart, Page, Table, Trace, hover, settings_of
from jaxvae.report.style import in_rows
from jaxvae.report.tables import with_error
from jaxvae.report.traces import color_bar

_UNITS = {
    "reconstruction": "PSNR, dB",
    "compression": "minus bits per dimension of an image",
    "generation": "inception score",
}
_NAMES = {
    "points": "held-out images measured",
    "labeled": "training images of classifiers",
    "top_information_limit": "largest information that can be estimated, nats",
    "judge_accuracy": "accuracy of the judge of generated images",
}
_READS = (
    "Each marker is a cell of the grid, placed by the rates of its upper and lower layers and "
    "colored by its score in the chosen use; its name is its betas, at the top and at the bottom. "
    "Hover for the mean over seeds, its standard error and, where known, the score of chance. "
    "Cells of which every run failed or is suspect have no marker."
)
_KEPT = (
    " {kept} of {cells} cells, which have an outline, have pictures: reconstructions and samples "
    "of the first seed that is done. Click one of them, or choose it in the list below."
)
_PICTURES = "From the top: held-out images, their reconstructions, and samples of the prior."


def rate_page(records: xr.Dataset, every_use: list[Use], conclusions: list[str]) -> Page:
    """The page of the grid: its conclusions, and its cells in the plane of rates."""
    return Page(
        rate_title(records),
        conclusions,
        _settings(records),
        [_plane(records, every_use)],
        [
            Table(
                "Where each use scores highest",
                highest_rows(records, every_use),
                highest_caption(records),
            ),
            Table("All cells", rate_rows(records, every_use), rate_caption(records)),
            *protocol_tables(records),
        ],
    )


def _settings(records: xr.Dataset) -> dict[str, str]:
    attributes = {**records.attrs, "binarized": bool(records.attrs["binarized"])}
    if "judge_accuracy" in attributes:
        accuracy = Estimate(attributes["judge_accuracy"], attributes.pop("judge_accuracy_stderr"))
        attributes["judge_accuracy"] = with_error(accuracy)
    return settings_of(xr.Dataset(attrs=attributes), _NAMES)


def _plane(records: xr.Dataset, every_use: list[Use]) -> Chart:
    first, second = half_names(records)
    names = {use.name: _score_name(use) for use in reversed(every_use)}
    pictures = _pictures(records)
    kept = _KEPT.format(kept=len(pictures), cells=len(cells_of(records)))
    return Chart(
        "Rate plane",
        _READS + kept,
        [
            Trace(_markers(records, use, names[use.name]), {"colored by": names[use.name]})
            for use in every_use
        ],
        f"rate of {second}, nats",
        f"rate of {first}, nats",
        {"colored by": list(names.values())} if names else {},
        pictures=pictures,
        pictures_read=_PICTURES,
    )


def _score_name(use: Use) -> str:
    name = use.name.replace("classification", "accuracy of samples")
    return f"{name}: {_UNITS[use.name]}" if use.name in _UNITS else name


def _markers(records: xr.Dataset, use: Use, title: str) -> dict[str, Any]:
    kept = records["corner"].values
    # The last are drawn above the others.
    cells = sorted(cells_of(records), key=lambda cell: cell_name(cell) in kept)
    upper, lower = (_of(cells, half) for half in halves(trusted(records, "rates")))
    score, stderr = _of(cells, use.score), _of(cells, use.stderr)
    shown = hover(score, stderr, np.full(len(cells), _chance(records, use)))
    return {
        "type": "scatter",
        "mode": "markers",
        "name": use.name,
        "x": lower,
        "y": upper,
        "customdata": [cell_name(cell) for cell in cells],
        "text": shown,
        "hovertemplate": "%{customdata}<br>rates %{y:.1f} and %{x:.1f} nats"
        "<br>%{fullData.name}: %{text}<extra></extra>",
        "marker": {
            "color": score,
            "colorscale": "Viridis",
            "showscale": True,
            "colorbar": color_bar(title),
            "size": 14,
        },
    }


def _of(cells: list[Cell], values: xr.DataArray) -> np.ndarray:
    return np.array([float(values.sel(beta_top=top, beta_bottom=low)) for top, low in cells])


def _chance(records: xr.Dataset, use: Use) -> float:
    """The score of chance; NaN where it is unknown.

    It is the share of the most frequent label for classification, and 1, the score of samples that
    are all alike, for generation.
    """
    if use.name == "generation":
        return 1.0
    is_accuracy = use.name.startswith("classification")
    return float(records["label_shares"].max()) if is_accuracy else float("nan")


def _pictures(records: xr.Dataset) -> Mapping[str, bytes]:
    """A PNG of every cell of which the records hold images."""
    return {str(name): _png(records, index) for index, name in enumerate(records["corner"].values)}


def _png(records: xr.Dataset, corner: int) -> bytes:
    from PIL import Image  # noqa: PLC0415

    rows = [
        records["example_input"].values,
        *(records[f"example_{kind}"].values[corner] for kind in ("reconstruction", "sample")),
    ]
    pixels, file = in_rows(rows), BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
    return file.getvalue()
