"""Two runs side by side: in sentences, tables, figures and records."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import UInt8

from jaxvae.analysis.estimate import mean_estimate
from jaxvae.analysis.two_runs import TwoRuns, different_settings
from jaxvae.files.words import counted, first_few
from jaxvae.report.page import Chart, Page, Table, Trace, settings_in_words
from jaxvae.report.style import draw_rows, figure
from jaxvae.report.tables import markdown_table, with_error
from jaxvae.report.traces import ACCENT, SECOND, training_chart
from jaxvae.runs.building import in_effect
from jaxvae.runs.config import word
from jaxvae.runs.curve import Curve

Row = dict[str, str]

PICTURED = {
    "reconstructions": "The first held-out images, and below them their reconstructions by each of "
    "the two runs."
}
"""The figure of `draw_two_runs` that the page shows itself, and how it is read."""

# Images that the page shows at most.
_POINTS = 2000
_ERROR = "± is the standard error over images."
_CAVEAT = (
    f"Differences are the second run minus the first, image by image; {_ERROR} Two single "
    "trainings do not tell how much another seed would change: `jaxvae sweep --seeds` trains each "
    "setting with several seeds, and gives their means with errors."
)
_TERMS = (
    "The negative ELBO and its terms are in nats per image: distortion is the negative "
    "log-likelihood at one posterior sample, a rate is a KL divergence, and the negative ELBO is "
    "the sum of distortion and all rates. Active units are latents whose posterior mean varies "
    "with the image."
)


def conclusion(comparison: TwoRuns, names: tuple[str, str]) -> str:
    """A sentence that says which model has the lower negative ELBO, where 95% limits tell."""
    from scipy.special import stdtrit  # noqa: PLC0415

    first, second = names
    if comparison.why_not:
        return f"The negative ELBOs of {first} and {second} are not compared: {comparison.why_not}."
    value, stderr = map(float, comparison.differences["cost"])
    by = f"{abs(value):.2f} ± {stderr:.2f} nats per image"
    images = len(comparison.sides[0].costs["cost"])
    on = f"on the same {counted(images, 'held-out image')}"
    if not np.isfinite(stderr):
        return (
            f"The negative ELBO of {second} minus that of {first} is {value:+.2f} nats {on}, which "
            "does not tell how it is on others."
        )
    if not abs(value) > stdtrit(images - 1, 0.975) * stderr:
        return (
            f"The negative ELBO of {second} is not shown to differ from that of {first} {on} (95% "
            f"confidence): the difference is {by}."
        )
    than = "lower" if value < 0 else "higher"
    return f"The negative ELBO of {second} is {by} {than} than that of {first} {on}."


def value_rows(
    comparison: TwoRuns, names: tuple[str, str], training: Mapping[str, tuple[str, str]]
) -> list[Row]:
    """The terms of the cost, quality, active units and training of both runs, as rows.

    Args:
        comparison: the comparison of the runs.
        names: the names of the runs.
        training: what is known of their training, by the name of a row.
    """
    rows = [*_cost_rows(comparison, names)]
    for title, values in {
        "PSNR, dB": [with_error(side.found.psnr) for side in comparison.sides],
        "bits per dimension": [
            with_error(side.found.bits_per_dimension) for side in comparison.sides
        ],
        "active units": [
            _active(side.found.active_units, side.run.vae) for side in comparison.sides
        ],
        "snapshot": [side.run.when for side in comparison.sides],
        **training,
    }.items():
        rows.append(_row(title, names, values))
    return rows


def setting_rows(comparison: TwoRuns, names: tuple[str, str]) -> list[Row]:
    """The settings in which the runs differ."""
    different = different_settings(*(side.run for side in comparison.sides))
    rows = []
    for name, pair in different.items():
        words = ["not set" if value is None else word(value) for value in pair]
        rows.append(dict(zip(("setting", *names), (name, *words), strict=True)))
    return rows


def in_what_they_differ(settings: Sequence[Row], names: tuple[str, str]) -> str:
    """A sentence on the settings in which the runs differ, of rows of `setting_rows`."""
    if not settings:
        return f"{names[0]} and {names[1]} have the same settings."
    each = [f"{row['setting']} ({' and '.join(row[name] for name in names)})" for row in settings]
    return f"{names[0]} and {names[1]} differ in {first_few(each)}."


def summary(
    sentences: Sequence[str], values: Sequence[Row], settings: Sequence[Row], title: str
) -> str:
    """Sentences and tables as Markdown."""
    parts = [f"# {title}", *sentences, markdown_table(values, left=["term"]), _TERMS]
    if settings:
        parts += ["## Settings that differ", markdown_table(settings, left=["setting"])]
    return "\n\n".join(parts) + "\n"


def two_runs_page(
    comparison: TwoRuns,
    names: tuple[str, str],
    *,
    sentences: Sequence[str],
    values: Sequence[Row],
    settings: Sequence[Row],
    curves: Mapping[str, Curve],
) -> Page:
    """Sentences, charts and tables as a page.

    Args:
        comparison: the comparison of the runs.
        names: the names of the runs.
        sentences: what was found.
        values: rows of `value_rows`.
        settings: rows of `setting_rows`.
        curves: loss and terms over training of the runs, by name, where they were kept.
    """
    one, other = (
        settings_in_words(in_effect(dataclasses.asdict(side.run.config)))
        for side in comparison.sides
    )
    shared = {name: value for name, value in one.items() if other.get(name) == value}
    folders = {
        name: str(side.run.folder) for name, side in zip(names, comparison.sides, strict=True)
    }
    charts = [
        *([_cost_chart(comparison, names)] if comparison.differences else []),
        *([training_chart(curves)] if curves else []),
    ]
    tables = [Table("Side by side", values, _TERMS), Table("Settings that differ", settings)]
    return Page(" and ".join(names), sentences, {**folders, **shared}, charts, tables)


def caveat(comparison: TwoRuns) -> str:
    """A sentence on what the standard errors leave out."""
    return _ERROR if comparison.why_not else _CAVEAT


def as_records(comparison: TwoRuns, names: tuple[str, str]) -> xr.Dataset:
    """The terms of the cost, by run and image; NaN where a run has fewer images."""
    several = [
        xr.Dataset({term: ("image", each) for term, each in side.costs.items()})
        .assign_coords(image=np.arange(len(side.costs["cost"])))
        .expand_dims(run=[name])
        for side, name in zip(comparison.sides, names, strict=True)
    ]
    return xr.concat(several, dim="run", join="outer", data_vars="all", fill_value=np.nan)


def draw_two_runs(
    comparison: TwoRuns,
    names: tuple[str, str],
    pictures: Mapping[str, UInt8[np.ndarray, "n h w c"]],
    folder: Path,
) -> list[Path]:
    """Figures of the cost of every image in both runs, and of some reconstructions.

    Args:
        comparison: the comparison of the runs.
        names: the names of the runs.
        pictures: images and their reconstructions, by the name of a row; none where the runs have
            different images.
        folder: folder for the figures.
    """
    # An earlier comparison, on other images, may have drawn figures that this one does not draw.
    for name in ("reconstructions", "costs"):
        (folder / f"{name}.png").unlink(missing_ok=True)
    paths = []
    if pictures:
        paths.append(folder / "reconstructions.png")
        rows, (_, height, width, _) = len(pictures), next(iter(pictures.values())).shape
        columns = len(next(iter(pictures.values())))
        size = (10, 0.6 + 9 * rows * height / (columns * width))
        with figure(paths[-1], size=size, title="Reconstructions of held-out images") as drawing:
            draw_rows(drawing.subplots(), pictures)
    if comparison.differences:
        paths.append(folder / "costs.png")
        _draw_costs(paths[-1], comparison, names)
    return paths


def _cost_chart(comparison: TwoRuns, names: tuple[str, str]) -> Chart:
    every = len(comparison.sides[0].costs["cost"])
    first, second = (side.costs["cost"][:_POINTS] for side in comparison.sides)
    ends = [float(extreme(np.r_[first, second])) for extreme in (np.min, np.max)]
    images = {
        "type": "scatter",
        "mode": "markers",
        "x": first,
        "y": second,
        "text": [
            f"image {index:,}: {one:.5g} and {other:.5g}, difference {other - one:+.3g}"
            for index, (one, other) in enumerate(zip(first, second, strict=True))
        ],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": ACCENT, "size": 5, "opacity": 0.5},
        "showlegend": False,
    }
    equal = {
        "type": "scatter",
        "mode": "lines",
        "name": "equal",
        "x": ends,
        "y": ends,
        "hoverinfo": "skip",
        "line": {"color": SECOND, "width": 1},
    }
    some = f" The first {_POINTS:,} of {every:,} are shown." if every > _POINTS else ""
    return Chart(
        "Negative ELBO of every held-out image",
        f"Each point is an image; below the line it costs {names[1]} less. Hover for its number "
        f"and its costs.{some}",
        [Trace(images), Trace(equal)],
        f"{names[0]}, nats",
        f"{names[1]}, nats",
    )


def _draw_costs(path: Path, comparison: TwoRuns, names: tuple[str, str]) -> None:
    first, second = (side.costs["cost"] for side in comparison.sides)
    title = "Negative ELBO of every held-out image, nats"
    with figure(path, size=(9, 4), title=title) as drawing:
        one, other = drawing.subplots(1, 2)
        one.plot(first, second, ".", markersize=2, alpha=0.4, rasterized=True)
        one.axline((first.mean(), first.mean()), slope=1, color="0.4", linewidth=1)
        better = f"below the line: {names[1]} is lower"
        one.set(xlabel=names[0], ylabel=names[1], title=better)
        other.hist(second - first, bins=60)
        other.axvline(0, color="0.4", linewidth=1)
        mean = float(comparison.differences["cost"].value)
        other.axvline(mean, color="tab:orange", label=f"mean {mean:.2f}")
        other.set(xlabel=f"negative ELBO of {names[1]} minus that of {names[0]}", ylabel="images")
        other.legend()


def _cost_rows(comparison: TwoRuns, names: tuple[str, str]) -> Iterator[Row]:
    costs = [side.costs for side in comparison.sides]
    for term in {**costs[0], **costs[1]}:
        values = [with_error(mean_estimate(each[term])) if term in each else "" for each in costs]
        difference = comparison.differences.get(term)
        shown = "" if difference is None else with_error(difference, sign="+")
        yield _row("negative ELBO" if term == "cost" else term, names, values, shown)


def _row(term: str, names: tuple[str, str], values: Sequence[str], difference: str = "") -> Row:
    columns = ("term", *names, "difference")
    return dict(zip(columns, (term, *values, difference), strict=True))


def _active(units: np.ndarray, model: Any) -> str:
    return ", ".join(f"{each} of {size}" for each, size in zip(units, model.sizes, strict=True))
