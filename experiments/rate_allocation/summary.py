"""A grid of betas in numbers: the score of every use in every cell, and where it is highest."""

import xarray as xr
from rich.table import Table

from experiments.rate_allocation.uses import (
    Cell,
    Use,
    cells_of,
    classified,
    half_names,
    halves,
    trusted,
)
from jaxvae.files.words import counted
from jaxvae.report.tables import decimals, markdown_table, over_seeds, printed_table

_CAPTION = (
    "R: rate, and D: distortion, in nats per held-out image, of one posterior sample. The scores "
    "are of the images that cells are compared on: PSNR in dB; the accuracy from latent samples, "
    "of the best of four classifiers, chosen on one half of the images and tested on the other; "
    "and IS, the inception score of the mean images of ancestral samples. All are means over "
    "seeds, without failed and suspect runs; ± is one standard error, over trainings and examples."
)
_AS_GOOD = "As good: the cells that cannot be told from the highest one, of all. "
_FIRST = "highest for"
_ONE_SEED = " With one seed the standard error is unknown."


def rate_table(records: xr.Dataset, every_use: list[Use]) -> Table:
    """The highest cell of every use, as wide as a terminal of 80: errors are in the summary."""
    rows = [
        {column: value.partition("±")[0] for column, value in row.items()}
        for row in _highest(records, every_use)
    ]
    return printed_table(rows, left=[_FIRST], title=rate_title(records), split=True)


def rate_summary(records: xr.Dataset, every_use: list[Use], conclusions: list[str]) -> str:
    """Highest cells, conclusions and all cells as Markdown."""
    highest = markdown_table(highest_rows(records, every_use), left=[_FIRST])
    parts = [f"# {rate_title(records)}", highest, highest_caption(records)]
    parts += [f"- {line}" for line in conclusions]
    parts += ["## All cells", markdown_table(rate_rows(records, every_use))]
    return "\n\n".join(parts) + "\n"


def rate_rows(records: xr.Dataset, every_use: list[Use]) -> list[dict[str, str]]:
    """A row of text for every cell, by column."""
    suspect = records["suspect"].any("seed")
    return [
        _row(records, every_use, (top, bottom))
        | {"suspect": "yes" if suspect.sel(beta_top=top, beta_bottom=bottom) else ""}
        for top, bottom in cells_of(records)
    ]


def highest_caption(records: xr.Dataset) -> str:
    """A caption of `highest_rows`."""
    return _AS_GOOD + rate_caption(records)


def rate_caption(records: xr.Dataset) -> str:
    """A caption that says what the columns of the tables are."""
    return _CAPTION + _ONE_SEED * (records.sizes["seed"] == 1)


def rate_title(records: xr.Dataset) -> str:
    """The data, the network, the number of cells and seeds, and the epoch."""
    attributes = records.attrs
    data = f"binarized {attributes['data']}" if attributes["binarized"] else attributes["data"]
    cells, seeds = records.sizes["beta_top"] * records.sizes["beta_bottom"], records.sizes["seed"]
    return (
        f"{data}, {attributes['network'].replace('_', '-')} hierarchy, "
        f"{counted(cells, 'cell')}, {counted(seeds, 'seed')}, epoch {int(records['epoch'][-1])}"
    )


def highest_rows(records: xr.Dataset, every_use: list[Use]) -> list[dict[str, str]]:
    """A row of text for every use: its highest cell, and how many cells cannot be told from it."""
    return [
        row | {"as good": _as_good(use)}
        for row, use in zip(_highest(records, every_use), every_use, strict=True)
    ]


def _highest(records: xr.Dataset, every_use: list[Use]) -> list[dict[str, str]]:
    return [{_FIRST: use.name, **_row(records, every_use, use.highest)} for use in every_use]


def _as_good(use: Use) -> str:
    """How many cells cannot be told from the best."""
    unknown = bool(use.stderr.isnull().all())
    return "unknown" if unknown else f"{int(use.candidates.sum())} of {use.candidates.size}"


def _row(records: xr.Dataset, every_use: list[Use], cell: Cell) -> dict[str, str]:
    rates = trusted(records, "rates", "distortion")
    cell_rates = rates.sel(beta_top=cell[0], beta_bottom=cell[1])
    upper, lower = (float(part) for part in halves(cell_rates))
    first, second = half_names(records)
    shown = {
        "reconstruction": ("PSNR dB", 1),
        **{f"classification from {z}": (f"acc. {z}", 3) for z in classified(records, 2)},
        "generation": ("IS", 2),
    }
    return {
        "beta top": f"{cell[0]:.3g}",
        "beta bottom": f"{cell[1]:.3g}",
        f"R {first}": decimals(upper, 1),
        f"R {second}": decimals(lower, 1),
        "D": decimals(float(cell_rates["distortion"]), 1),
        **{
            shown[use.name][0]: _with_error(use, cell, shown[use.name][1])
            for use in every_use
            if use.name in shown
        },
    }


def _with_error(use: Use, cell: Cell, digits: int) -> str:
    selection = {"beta_top": cell[0], "beta_bottom": cell[1]}
    value, error = (float(one.sel(selection)) for one in (use.score, use.stderr))
    return over_seeds(value, error, digits)
