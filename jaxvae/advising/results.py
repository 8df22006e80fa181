"""The results of `jaxvae advise`: printed, in `summary.md`, in a figure, and on a page."""

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float
from rich.console import Console

from jaxvae.advising.criteria import Criterion, criteria_of, decided_bounds, delta_bounds
from jaxvae.advising.data import DataDimension
from jaxvae.advising.reading import SweepReading, read_records
from jaxvae.advising.sentences import answer, diagnoses, disagreement
from jaxvae.analysis import gaussian_dimension
from jaxvae.analysis.advice import TOLERANCE
from jaxvae.report.page import Chart, Page, Table, Trace
from jaxvae.report.results import write_report
from jaxvae.report.style import bottleneck_colors, figure, mark_bottlenecks, mark_logarithm
from jaxvae.report.tables import markdown_table, mean_over_seeds, over_seeds
from jaxvae.report.traces import ACCENT, level_line, line, listed_axis, stderr_over

_CLOUDS = 4
_TO_BEAT = f"the least Δ is {TOLERANCE:.0%} lower"
_LEFT = "may be the smallest size that is enough"
_CAPTION = (
    "Δ: information imbalance, near 0 where neighbors in the output are neighbors in the input; "
    "cost and training cost: negative ELBO of held-out and of training images, nats per image; ID: "
    "intrinsic dimension (TwoNN) of the posterior mean and of its sample; null: the ID of a "
    "Gaussian of as many dimensions; active units: latents whose posterior mean varies with the "
    "image; active, mixed, passive: numbers of latents of each type, by their posterior variance. "
    "Values are means over seeds, that of Δ the geometric one, ± their standard errors."
)


class Conclusion(NamedTuple):
    """The answer from records, in sentences and numbers.

    Attributes:
        reading: measurements of the records.
        sentences: the answer first.
        criteria: side by side.
        sizes: a row of numbers for every size.
    """

    reading: SweepReading
    sentences: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    sizes: list[dict[str, str]]

    @property
    def side_by_side(self) -> list[dict[str, str]]:
        """The criteria as rows of a table."""
        return [
            {"criterion": c.name, "size": c.answer, "evidence": c.evidence, "trust": c.trust}
            for c in self.criteria
        ]


def conclude(
    records: xr.Dataset,
    *,
    ending: str = "",
    of_data: Sequence[str] = (),
    dimension: DataDimension | None = None,
) -> Conclusion:
    """The answer to how large a bottleneck must be, from the records of a sweep over sizes.

    Args:
        records: records of `jaxvae sweep`, `jaxvae advise` or `experiments.bottleneck`.
        ending: why training stopped, where nothing is decided.
        of_data: sentences about training and the data, which come last; empty ones are left out.
        dimension: dimension of the data, where it is known.

    Raises:
        ValueError: for other records.
    """
    reading = read_records(records)
    key, room = jax.random.key(0), int(reading.sizes.max())
    nulls = {
        int(size): gaussian_dimension(
            key, n=reading.points, features=int(size), clouds=_CLOUDS, room=room
        )
        for size in reading.sizes
    }
    criteria = criteria_of(reading, nulls)
    by_delta = decided_bounds(reading).sufficient == delta_bounds(reading).sufficient
    sentences = (
        answer(reading, ending=ending),
        disagreement(criteria, reading) if by_delta else "",
        *diagnoses(reading, dimension),
        *of_data,
    )
    return Conclusion(reading, tuple(filter(None, sentences)), criteria, _rows(reading, nulls))


def write_conclusion(
    out: Path,
    records: xr.Dataset,
    conclusion: Conclusion,
    *,
    title: str,
    console: Console,
    said: Collection[str],
) -> None:
    """Print the answer first, and write records.nc, summary.md, the figure and report.html.

    Args:
        out: folder of the study.
        records: measurements.
        conclusion: what `conclude` gives for them.
        title: of figure and page.
        console: where to print.
        said: sentences that were printed before.
    """
    side, sizes = markdown_table(conclusion.side_by_side), markdown_table(conclusion.sizes)
    sentences = "\n\n".join(conclusion.sentences)
    write_report(
        out,
        records,
        figures=partial(_draw, conclusion, title),
        summary=f"# {title}\n\n{sentences}\n\n{side}\n\n{sizes}\n\n{_CAPTION}\n",
        lines=["", *printed(conclusion, said=said)],
        console=console,
        page=_page(conclusion, title),
    )


def printed(conclusion: Conclusion, *, said: Collection[str] = ()) -> list[str]:
    """The lines for the terminal: the sentences, and the answer of every criterion.

    Args:
        conclusion: what was concluded.
        said: sentences that were printed before.
    """
    paragraphs = [each for each in conclusion.sentences if each not in said]
    return [
        *(line for paragraph in paragraphs for line in (paragraph, "")),
        *(f"{each.name}: {each.answer}\n    {each.evidence}" for each in conclusion.criteria),
    ]


def _rows(reading: SweepReading, nulls: dict[int, tuple[float, float]]) -> list[dict[str, str]]:
    columns = {
        "cost": (reading.cost, 1),
        "training cost": (reading.training_cost, 1),
        "ID mean": (reading.dimensions["mean"], 1),
        "ID sample": (reading.dimensions["sample"], 1),
        "active units": (reading.active_units, 1),
        **{name: (values, 1) for name, values in reading.types.items()},
    }
    return [
        {"K": str(size), "Δ out→in": over_seeds(mean, stderr, 4)}
        | {name: _shown(values[index], digits) for name, (values, digits) in columns.items()}
        | {"null": f"{nulls[int(size)][0]:.1f}"}
        for index, (size, mean, stderr) in enumerate(
            zip(reading.sizes, *_deltas(reading), strict=True)
        )
    ]


def _deltas(reading: SweepReading) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """The geometric mean of Delta over seeds for every size, and its standard error."""
    logs = xr.DataArray(np.log(reading.imbalance), dims=("size", "seed"))
    means = reading.mean_imbalance
    # The standard error of a mean of logarithms is a share of the value.
    return means, means * stderr_over(logs, "seed")


def _shown(values: np.ndarray, digits: int) -> str:
    if not np.isfinite(values).all():
        return "·"
    return mean_over_seeds(values, digits)


def _draw(conclusion: Conclusion, title: str, folder: Path) -> list[Path]:
    """Delta against K: a point for every model, the means, and what may be enough."""
    reading, path = conclusion.reading, folder / "imbalance.png"
    sizes, (means, _) = reading.sizes.tolist(), _deltas(reading)
    colors = bottleneck_colors(sizes)
    with figure(path, size=(7, 4.2), title=title) as drawing:
        axes = drawing.subplots()
        axes.plot(sizes, means, color="0.4", zorder=1, label="mean over seeds")
        for size, values in zip(sizes, reading.imbalance, strict=True):
            axes.plot([size] * len(values), values, "o", color=colors[size], alpha=0.8)
        axes.axhline(_to_beat(means), color="0.6", linestyle="--", label=_TO_BEAT)
        axes.axvspan(*_left(reading), color="tab:green", alpha=0.12, label=_LEFT)
        mark_bottlenecks(axes, sizes)
        axes.set_ylabel("Δ(output → input)")
        mark_logarithm(axes)
        axes.set_title(f"The smallest size that is enough may be {decided_bounds(reading)}")
        axes.legend()
    return [path]


def _to_beat(means: Float[np.ndarray, " k"]) -> float:
    """The Delta that the best size is below by the tolerance."""
    return float(means.min() / (1 - TOLERANCE))


def _left(reading: SweepReading) -> tuple[float, float]:
    """Where the sizes that are left begin and end on an axis of sizes."""
    bounds = decided_bounds(reading)
    last = reading.sizes[-1] if bounds.sufficient is None else bounds.sufficient
    return bounds.insufficient + 0.7, float(last) + 0.3


def _page(conclusion: Conclusion, title: str) -> Page:
    reading = conclusion.reading
    sizes, (means, stderrs) = reading.sizes, _deltas(reading)
    points = {
        "type": "scatter",
        "mode": "markers",
        "name": "models",
        "hovertemplate": "K = %{x}: Δ %{y:.4f}<extra>one model</extra>",
        "x": np.repeat(sizes, reading.imbalance.shape[1]),
        "y": reading.imbalance.reshape(-1),
    }
    drawn = line(sizes.tolist(), means, stderrs, name="mean over seeds", color=ACCENT)
    begin, end = _left(reading)
    to_beat = level_line((sizes[0], sizes[-1]), _to_beat(means), name=_TO_BEAT)
    left = {
        "type": "rect",
        "name": _LEFT,
        "showlegend": True,
        "layer": "below",
        "x0": begin,
        "x1": end,
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "fillcolor": "#2ca02c",
        "opacity": 0.15,
        "line": {"width": 0},
    }
    chart = Chart(
        "Information that reconstructions have lost",
        "Δ(output → input) against the size of the bottleneck: a size is enough where it stops "
        "falling. Reconstructions that know nothing of the images have 1. Hover over a mean for "
        "its standard error over seeds.",
        [Trace(drawn), Trace(points), Trace(to_beat)],
        x="bottleneck size K",
        y="Δ(output → input)",
        layout={
            "xaxis": listed_axis(sizes.tolist()),
            "yaxis": {"type": "log"},
            "shapes": [left],
        },
    )
    tables = [
        Table("Criteria side by side", conclusion.side_by_side),
        Table("Every size", conclusion.sizes, _CAPTION),
    ]
    settings = {
        "seeds": str(len(reading.seeds)),
        "epochs": str(reading.epoch),
        "held-out images that were measured": f"{reading.points:,}",
    }
    return Page(title, conclusion.sentences, settings, [chart], tables)
