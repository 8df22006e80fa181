"""A grid of prices in words and numbers: the best cell of every use, and what was claimed."""

from itertools import combinations
from typing import NamedTuple

import numpy as np
import xarray as xr
from rich.box import SIMPLE_HEAD
from rich.table import Table

from jaxvae.report.tables import markdown_table as _markdown

_GRID = ("beta_top", "beta_bottom")
# Standard errors beyond which a difference is no chance.
_CLEAR = 3.0
_CAPTION = (
    "R: rate, D: distortion, nats per held-out image, of one posterior sample; PSNR in dB; "
    "accuracy of the best of four classifiers of samples; IS: inception score of the mean images "
    "of ancestral samples. Means over seeds, without failed and suspect runs."
)

Cell = tuple[float, float]


class Use(NamedTuple):
    """Something that latents are wanted for.

    Attributes:
        name: of the use.
        score: of every cell, over `beta_top` and `beta_bottom`; the largest is the best.
        error: its standard error over test examples.
        best: prices, at the top and at the bottom, of the best cell.
    """

    name: str
    score: xr.DataArray
    error: xr.DataArray
    best: Cell


def trusted(records: xr.Dataset, *names: str) -> xr.Dataset:
    """Some quantities at the last epoch, means over seeds without failed and suspect runs."""
    last = records[[*names]].isel(epoch=-1, missing_dims="ignore")
    failed = records["failed"].isel(epoch=-1).astype(bool)
    return last.where(~(records["suspect"] | failed)).mean("seed")


def uses(records: xr.Dataset) -> list[Use]:
    """What a grid was measured for, but for what no trusted cell has a score of."""
    found = trusted(
        records.assign(
            best_accuracy=records["accuracy"].sel(kind="sample").max("classifier"),
            best_accuracy_stderr=records["accuracy_stderr"].sel(kind="sample").max("classifier"),
        ),
        *("psnr", "bits_per_dimension", "best_accuracy", "inception_score"),
        *("psnr_stderr", "bits_per_dimension_stderr"),
        *("best_accuracy_stderr", "inception_score_stderr"),
    )
    scores = {
        "reconstruction": found[["psnr", "psnr_stderr"]],
        "compression": found[["bits_per_dimension", "bits_per_dimension_stderr"]],
        **{
            f"classification from {layer}": found[["best_accuracy", "best_accuracy_stderr"]].sel(
                layer=layer
            )
            for layer in classified(records, 2)
        },
        "generation": found[["inception_score", "inception_score_stderr"]],
    }
    every = []
    for name, pair in scores.items():
        score, error = pair.data_vars.values()
        # Bits are to be few.
        signed = -score if name == "compression" else score
        if signed.notnull().any():
            every.append(Use(name, signed, error, _largest(signed)))
    return every


def _largest(score: xr.DataArray) -> Cell:
    flat = score.stack(cell=_GRID)
    top, bottom = flat["cell"].values[np.nanargmax(flat.values)]
    return float(top), float(bottom)


def classified(records: xr.Dataset, count: int) -> list[str]:
    """Those of most rate among the layers that were classified; wide ones are not."""
    known = records["accuracy"].notnull().any([d for d in records["accuracy"].dims if d != "layer"])
    return most_rate(records.isel(layer=known.values), count)


def most_rate(records: xr.Dataset, count: int) -> list[str]:
    """The layers with the most rate at the end, on average over the cells, from the top."""
    mean = records["rates"].isel(epoch=-1).mean((*_GRID, "seed")).values
    places = np.sort(np.argsort(-mean)[:count])
    return [str(layer) for layer in records["layer"].values[places]]


def rate_table(records: xr.Dataset) -> Table:
    """The best cell of every use, as wide as a terminal of 80."""
    table = Table(
        title=rate_title(records),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    rows = _best_rows(records)
    for column in rows[0] if rows else ():
        justify = "left" if column == "best for" else "right"
        table.add_column(column.replace(" ", "\n", 1), justify=justify)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*row.values())
    return table


def rate_summary(records: xr.Dataset) -> str:
    """Best cells, conclusions and all cells as Markdown."""
    suspect = records["suspect"].any("seed")
    every = [
        _row(records, (float(top), float(bottom)))
        | {"suspect": "yes" if suspect.sel(beta_top=top, beta_bottom=bottom) else ""}
        for top in records["beta_top"].values
        for bottom in records["beta_bottom"].values
    ]
    parts = [f"# {rate_title(records)}", _markdown(_best_rows(records)), _CAPTION]
    parts += [f"- {line}" for line in rate_conclusions(records)]
    return "\n\n".join([*parts, "## All cells", _markdown(every)]) + "\n"


def rate_conclusions(records: xr.Dataset) -> list[str]:
    """What the grid says of the claims, with the evidence."""
    lines = [
        _on_bounds(records),
        _on_uses(records),
        _on_split(records),
        _on_collapse(records),
        _on_training(records),
    ]
    return [line for line in lines if line]


def _on_bounds(records: xr.Dataset) -> str:
    """Only bounds below 1 can be broken."""
    bounds = records["accuracy_bound"].copy()
    top = records["layer"].values[0]
    # Of the top layer, what it knows of the labels bounds it more tightly.
    bounds.loc[{"layer": top}] = np.minimum(bounds.sel(layer=top), records["top_accuracy_bound"])
    excess = (records["accuracy"] - bounds) / records["accuracy_stderr"]
    sampled, means = (
        excess.sel(kind=kind).where(bounds < 1).values.ravel() for kind in ("sample", "mean")
    )
    tested = np.isfinite(sampled)
    if not tested.any():
        return "Bound of accuracy: at these rates it is 1, and cannot be broken."
    broken, above = int((sampled > _CLEAR).sum()), int((means > _CLEAR).sum())
    verdict = "never broken" if not broken else f"BROKEN {broken} times"
    return (
        f"Bound of accuracy by what is known: {verdict} by more than {_CLEAR:g} standard errors "
        f"in the {int(tested.sum())} classifiers of samples whose bound is below 1 (of "
        f"{int(excess.sel(kind='sample').notnull().sum())}); the largest excess is "
        f"{np.nanmax(sampled):.1f} standard errors. Of the classifiers of means, which it does "
        f"not hold for, {above} are as clearly above it."
    )


def _on_uses(records: xr.Dataset) -> str:
    every = uses(records)
    if not every:
        return ""
    where = "; ".join(
        f"{use.name} at beta {use.best[0]:.3g} and {use.best[1]:.3g} ({_rivals(use)})"
        for use in every
    )
    apart = [
        f"{one.name} and {two.name}" for one, two in combinations(every, 2) if _apart(one, two)
    ]
    pairs = (
        f"Clearly apart are the best cells of {'; '.join(apart)}."
        if apart
        else ("No two uses have best cells that are clearly apart.")
    )
    return f"Best cells: {where}. {pairs}"


def _rivals(use: Use) -> str:
    """How many cells are as good as the best, for all that is known."""
    close = int((_below_best(use, use.score) <= 2).sum()) - 1
    return "alone" if close == 0 else f"{close} more within 2 standard errors"


def _apart(one: Use, two: Use) -> bool:
    """Whether each use is clearly worse off at the best cell of the other."""
    return all(
        float(_below_best(use, _at(use.score, other.best), _at(use.error, other.best))) > _CLEAR
        for use, other in ((one, two), (two, one))
    )


def _below_best(use: Use, score: xr.DataArray, error: xr.DataArray | None = None) -> xr.DataArray:
    """How far a score is below the best, in standard errors of the difference."""
    errors = use.error if error is None else error
    return (_at(use.score, use.best) - score) / np.hypot(_at(use.error, use.best), errors)


def _at(values: xr.DataArray, cell: Cell) -> xr.DataArray:
    return values.sel(beta_top=cell[0], beta_bottom=cell[1])


def _on_split(records: xr.Dataset) -> str:
    """How much of a score the total rate explains, and how much the split besides."""
    flat = trusted(records, "rates").stack(cell=_GRID)
    upper, lower = (part.values for part in halves(flat))
    parts = []
    for use in uses(records):
        score = use.score.stack(cell=_GRID).values
        known = np.isfinite(score) & np.isfinite(upper)
        by_total = _explained(score[known], (upper + lower)[known])
        by_both = _explained(score[known], upper[known], lower[known])
        if np.isfinite(by_total) and np.isfinite(by_both):
            parts.append(f"{use.name} {by_total:.2f}, {by_both:.2f}")
    if not parts:
        return ""
    return (
        "Variance over cells that a quadratic function explains (adjusted R²), of the total rate "
        f"and of both rates: {'; '.join(parts)}."
    )


def _explained(score: np.ndarray, *rates: np.ndarray) -> float:
    """Adjusted for the number of coefficients; NaN for too few cells, or no variance."""
    columns = [np.ones_like(score), *rates]
    columns += [one * other for i, one in enumerate(rates) for other in rates[i:]]
    design = np.stack(columns, axis=1)
    n, coefficients = design.shape
    if n <= coefficients + 1 or np.ptp(score) == 0:
        return float("nan")
    fitted = design @ np.linalg.lstsq(design, score, rcond=None)[0]
    return 1 - float(np.var(score - fitted) / np.var(score)) * (n - 1) / (n - coefficients)


def _on_collapse(records: xr.Dataset) -> str:
    """How many runs end with signs of collapse, and in which layers."""
    ends = records["warnings"].isel(epoch=-1).values.ravel()
    # A line begins with the name of its layer.
    layers = [{line.split(":")[0] for line in str(signs).splitlines()} for signs in ends]
    counts = {layer: sum(layer in those for those in layers) for layer in records["layer"].values}
    where = ", ".join(f"{layer} in {count}" for layer, count in counts.items() if count)
    runs = sum(map(bool, layers))
    return where and f"At the end {runs} of {len(ends)} runs show signs of collapse: {where}."


def _on_training(records: xr.Dataset) -> str:
    failed = int(records["failed"].isel(epoch=-1).sum())
    suspect, count = int(records["suspect"].sum()), records["suspect"].size
    excess = records["excess_cost"]
    beaten = int((excess > 1).sum())
    finished = (
        "no run costs a nat more at its prices than another would"
        if not beaten
        else f"{beaten} cost over a nat more at their prices than another run would, up to "
        f"{float(excess.max()):.0f}: training has not come to its optimum there"
    )
    return (
        f"Of {count} run{'s' * (count != 1)} {failed} failed; {suspect} are suspect, their rates "
        f"out of order; {finished}. Failed and suspect runs are left out of best cells."
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
    """What the halves are called: of two layers, their names; the upper half of one is no layer."""
    layers = records["layer"].values
    middle = len(layers) // 2
    names = (
        "no layer" if not len(part) else part[0] if len(part) == 1 else f"{part[0]} to {part[-1]}"
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


def _best_rows(records: xr.Dataset) -> list[dict[str, str]]:
    return [{"best for": use.name, **_row(records, use.best)} for use in uses(records)]


def _row(records: xr.Dataset, cell: Cell) -> dict[str, str]:
    names = ("rates", "distortion", "psnr", "inception_score")
    sampled = records["accuracy"].sel(kind="sample").max("classifier")
    found = trusted(records.assign(best_accuracy=sampled), *names, "best_accuracy")
    here = found.sel(beta_top=cell[0], beta_bottom=cell[1])
    upper, lower = (float(part) for part in halves(here))
    first, second = half_names(records)
    return {
        "beta top": f"{cell[0]:.3g}",
        "beta bottom": f"{cell[1]:.3g}",
        f"R {first}": f"{upper:.1f}",
        f"R {second}": f"{lower:.1f}",
        "D": f"{float(here['distortion']):.1f}",
        "PSNR dB": f"{float(here['psnr']):.1f}",
        **{
            f"acc. {layer}": f"{float(here['best_accuracy'].sel(layer=layer)):.3f}"
            for layer in classified(records, 2)
        },
        "IS": f"{float(here['inception_score']):.2f}",
    }
