"""A grid of prices in words and numbers: the best cell of every use, and what was claimed."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from rich.box import SIMPLE_HEAD
from rich.table import Table

_GRID = ("beta_top", "beta_bottom")
# Standard errors beyond which a sampled accuracy would break its bound.
_CLEAR = 3.0
_CAPTION = (
    "R: rate, D: distortion, nats per held-out image, of one posterior sample; PSNR in dB; "
    "accuracy of the best of four classifiers of samples; IS: inception score of the mean images "
    "of ancestral samples. Means over seeds."
)


class Use(NamedTuple):
    """Something that latents are wanted for.

    Attributes:
        name: of the use.
        score: of every cell, over `beta_top` and `beta_bottom`; the largest is the best.
    """

    name: str
    score: xr.DataArray


def uses(records: xr.Dataset) -> list[Use]:
    """What a grid was measured for, means over seeds without those that are suspect."""
    last = records.isel(epoch=-1).where(~records["suspect"])
    sampled = last["accuracy"].sel(kind="sample").max("classifier")
    scores = {
        "reconstruction": last["psnr"],
        "compression": -last["bits_per_dimension"],
        **{
            f"classification from {layer}": sampled.sel(layer=layer)
            for layer in outer_classified(records)
        },
        "generation": last["inception_score"],
    }
    return [Use(name, score.mean("seed")) for name, score in scores.items()]


def outer_classified(records: xr.Dataset) -> list[str]:
    """The uppermost and the lowest layer that was classified; wide ones are not."""
    known = records["accuracy"].notnull().any([d for d in records["accuracy"].dims if d != "layer"])
    layers = [str(layer) for layer in records["layer"].values[known.values]]
    return list(dict.fromkeys((layers[0], layers[-1])))


def best_cell(use: Use) -> tuple[float, float]:
    """The prices, at the top and at the bottom, of the best cell of a use."""
    flat = use.score.stack(cell=_GRID)
    top, bottom = flat["cell"].values[np.argmax(flat.fillna(-np.inf).values)]
    return float(top), float(bottom)


def rate_table(records: xr.Dataset) -> Table:
    """The best cell of every use, as wide as a terminal of 80."""
    table = Table(
        title=rate_title(records),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    rows = [{"best for": use.name, **_row(records, *best_cell(use))} for use in uses(records)]
    for column in rows[0]:
        justify = "left" if column == "best for" else "right"
        table.add_column(column.replace(" ", "\n", 1), justify=justify)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*row.values())
    return table


def rate_summary(records: xr.Dataset) -> str:
    """Best cells, conclusions and all cells as Markdown."""
    best = [{"best for": use.name, **_row(records, *best_cell(use))} for use in uses(records)]
    every = [
        _row(records, float(top), float(bottom))
        for top in records["beta_top"].values
        for bottom in records["beta_bottom"].values
    ]
    parts = [f"# {rate_title(records)}", _markdown(best), _CAPTION]
    parts += [f"- {line}" for line in rate_conclusions(records)]
    return "\n\n".join([*parts, "## All cells", _markdown(every)]) + "\n"


def rate_conclusions(records: xr.Dataset) -> list[str]:
    """What the grid says of the claims, with the evidence."""
    return [_on_bounds(records), _on_uses(records), _on_split(records), _on_failures(records)]


def _on_bounds(records: xr.Dataset) -> str:
    excess = (records["accuracy"] - records["accuracy_bound"]) / records["accuracy_stderr"]
    sampled, means = (excess.sel(kind=kind).values for kind in ("sample", "mean"))
    broken, count = int((sampled > _CLEAR).sum()), int(np.isfinite(sampled).sum())
    above = int((means > _CLEAR).sum())
    verdict = "never broken" if not broken else f"BROKEN {broken} times"
    return (
        f"Bound of accuracy by rate: {verdict} by more than {_CLEAR:g} standard errors in {count} "
        f"classifiers of samples (largest excess {np.nanmax(sampled):.1f}); classifiers of means, "
        f"which it does not hold for, are above it in {above} of {count}."
    )


def _on_uses(records: xr.Dataset) -> str:
    cells: dict[tuple[float, float], list[str]] = {}
    for use in uses(records):
        cells.setdefault(best_cell(use), []).append(use.name)
    where = "; ".join(
        f"{' and '.join(names)} at beta {top:g} and {bottom:g}"
        for (top, bottom), names in cells.items()
    )
    return f"The uses are best served by {len(cells)} different cells: {where}."


def _on_split(records: xr.Dataset) -> str:
    """How much of a score the total rate explains, and how much the split besides."""
    flat = records.isel(epoch=-1).where(~records["suspect"]).mean("seed").stack(cell=_GRID)
    upper, lower = (part.values for part in halves(flat))
    parts = []
    for use in uses(records):
        score = use.score.stack(cell=_GRID).values
        known = np.isfinite(score) & np.isfinite(upper)
        by_total = _explained(score[known], (upper + lower)[known])
        by_both = _explained(score[known], upper[known], lower[known])
        parts.append(f"{use.name} {by_total:.2f}, {by_both:.2f}")
    return (
        "Share of the variance over cells that a quadratic function explains, of the total rate "
        f"and of both rates: {'; '.join(parts)}."
    )


def _explained(score: np.ndarray, *rates: np.ndarray) -> float:
    columns = [np.ones_like(score), *rates]
    columns += [one * other for i, one in enumerate(rates) for other in rates[i:]]
    design = np.stack(columns, axis=1)
    if len(score) <= design.shape[1] or np.ptp(score) == 0:
        return float("nan")
    fitted = design @ np.linalg.lstsq(design, score, rcond=None)[0]
    return 1 - float(np.var(score - fitted) / np.var(score))


def _on_failures(records: xr.Dataset) -> str:
    failed = int(records["failed"].isel(epoch=-1).sum())
    suspect, count = int(records["suspect"].sum()), records["suspect"].size
    return (
        f"Of {count} runs {failed} failed, and {suspect} are suspect: no optimum has such rates "
        "beside those of the others. Suspects are left out above."
    )


def halves(records: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Rates of the upper and of the lower half of the layers, nats."""
    middle = records.sizes["layer"] // 2
    rates = records["rates"]
    return tuple(  # type: ignore[return-value]
        rates.isel(layer=part).sum("layer", skipna=False)
        for part in (slice(middle), slice(middle, None))
    )


def half_names(records: xr.Dataset) -> tuple[str, str]:
    """What the halves are called: of two layers, their names."""
    layers = records["layer"].values
    middle = len(layers) // 2
    names = (
        part[0] if len(part) == 1 else f"{part[0]} to {part[-1]}"
        for part in (layers[:middle], layers[middle:])
    )
    return tuple(names)  # type: ignore[return-value]


def rate_title(records: xr.Dataset) -> str:
    """What was trained on what, for how long, how often."""
    attributes = records.attrs
    data = f"binarized {attributes['data']}" if attributes["binarized"] else attributes["data"]
    cells, seeds = records.sizes["beta_top"] * records.sizes["beta_bottom"], records.sizes["seed"]
    return (
        f"{data}, {attributes['network'].replace('_', '-')} hierarchy, {cells} cells, "
        f"{seeds} seed{'s' if seeds > 1 else ''}, epoch {int(records['epoch'][-1])}"
    )


def _row(records: xr.Dataset, top: float, bottom: float) -> dict[str, str]:
    last = records.isel(epoch=-1).sel(beta_top=top, beta_bottom=bottom).mean("seed")
    upper, lower = (float(part) for part in halves(last))
    first, second = half_names(records)
    sampled = last["accuracy"].sel(kind="sample").max("classifier")
    return {
        "beta top": f"{top:.3g}",
        "beta bottom": f"{bottom:.3g}",
        f"R {first}": f"{upper:.1f}",
        f"R {second}": f"{lower:.1f}",
        "D": f"{float(last['distortion']):.1f}",
        "PSNR dB": f"{float(last['psnr']):.1f}",
        **{
            f"acc. {layer}": f"{float(sampled.sel(layer=layer)):.3f}"
            for layer in outer_classified(records)
        },
        "IS": f"{float(last['inception_score']):.2f}",
    }


def _markdown(rows: list[dict[str, str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (rows[0], *(row.values() for row in rows))]
    lines.insert(1, "|" + "---:|" * len(rows[0]))
    return "\n".join(lines)
