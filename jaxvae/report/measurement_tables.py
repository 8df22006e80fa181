"""A measurement of arrays as tables, for the terminal and as Markdown."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from jaxvae.analysis.registry import METRICS
from jaxvae.report.measurement import has_null, metrics_of, title, variable
from jaxvae.report.tables import markdown_table

# More spaces than this are a list in the terminal; figures and records have all pairs.
MATRIX_SPACES = 8
_UNDEFINED = " A value is undefined if all points of a space are equal, or too few of them differ."


class Cell(NamedTuple):
    """One number as text, with its error and its null.

    Attributes:
        value: the metric.
        error: `±` and its standard error, or empty.
        null: the null in brackets, or empty.
    """

    value: str
    error: str = ""
    null: str = ""


def table(records: xr.Dataset, name: str, *, width: int) -> Table:
    """One metric for a terminal.

    Args:
        records: from `as_records`.
        name: name of the metric.
        width: columns of the terminal; where numbers do not fit beside their
            errors and nulls, these go below.
    """
    header, rows = cells(records, name)
    drawn = Table(
        title=METRICS[name].title,
        caption=caption(records, name),
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=0,
        pad_edge=False,
    )
    drawn.add_column("", overflow="fold", max_width=width // 4)
    for column in header:
        drawn.add_column(column, justify="right", overflow="fold")
    # Two characters go to the edges, and one between any two columns.
    room = (width - 2 - min(width // 4, max(map(len, rows)))) // len(header) - 1
    layout = _layout([cell for row in rows.values() for cell in row], room)
    for row_name, row in rows.items():
        drawn.add_row(row_name, *(Text(layout.format(*cell).strip()) for cell in row))
    return drawn


def _layout(numbers: Sequence[Cell], room: int) -> str:
    """The layout of a cell: on one line if the longest cell fits, else on two or three."""
    if max(len(f"{cell.value}{cell.error} {cell.null}") for cell in numbers) <= room:
        return "{}{} {}"
    if max(len(f"{cell.value}{cell.error}") for cell in numbers) <= room:
        return "{}{}\n{}"
    return "{}\n{}\n{}"


def summary(records: xr.Dataset) -> str:
    """All metrics as Markdown."""
    parts = [f"# {title(records)}"]
    for name in metrics_of(records):
        header, rows = cells(records, name)
        texts = [
            {"": space, **dict(zip(header, map(in_one_line, row), strict=True))}
            for space, row in rows.items()
        ]
        parts += [f"## {METRICS[name].title}", markdown_table(texts, left=[""])]
        parts += [caption(records, name)]
    return "\n\n".join(parts) + "\n"


def in_one_line(cell: Cell) -> str:
    """A cell in one line of text."""
    return "{}{} {}".format(*cell).strip()


def caption(records: xr.Dataset, name: str) -> str:
    """A caption that says how to read the numbers: what they are, their error, and their null."""
    attributes = records[variable(name)].attrs
    k = f" (k = {attributes['k']})" if "k" in attributes else ""
    null = f"; (null): the value for {attributes['null']}" if has_null(records) else ""
    reads = METRICS[name].reads
    undefined = "" if np.isfinite(_given(records, name)).all() else _UNDEFINED
    return (
        f"{reads[0].upper()}{reads[1:]}{k}; ± standard error {attributes['error']}{null}."
        f"{undefined}{_copies(records)}"
    )


def _copies(records: xr.Dataset) -> str:
    """What is wrong with the numbers where points repeat others."""
    repeated = records.attrs.get("repeated", 0)
    if not repeated:
        return ""
    return (
        f" {repeated:,} of the {records.attrs['points']:,} points repeat another one in every "
        "space: they are counted as if they were new, so that errors are too small, and are each "
        "other's neighbors; measure the others alone."
    )


def _given(records: xr.Dataset, name: str) -> np.ndarray:
    """The values of a metric but those of a space with itself."""
    values = np.array(records[variable(name)].values, float)
    if "space_to" in records[variable(name)].dims:
        np.fill_diagonal(values, 0)
    return values


def cells(records: xr.Dataset, name: str) -> tuple[list[str], dict[str, list[Cell]]]:
    """The columns and the rows of a metric, as text."""
    dimensions = records[variable(name)].dims
    if "rank" in dimensions:
        header = [f"r = {rank}" for rank in records["rank"].values]
        return header, _rows(records, _numbers(records, name))
    if "space_to" not in dimensions:
        return _of_spaces(records, name)
    if records.sizes["space"] <= MATRIX_SPACES:
        return records["space_to"].values.tolist(), _rows(records, _numbers(records, name))
    return _of_many_pairs(records, name)


def _of_spaces(records: xr.Dataset, name: str) -> tuple[list[str], dict[str, list[Cell]]]:
    stem = variable(name)
    size = int(records.attrs["points"]) // int(records.attrs["parts"])
    values, stderrs, subsets = (records[stem + end].values for end in ("", "_stderr", "_subset"))
    digits = _digits(stderrs)
    columns = {"features": [Cell(f"{d:,}") for d in records["features"].values]}
    if f"{stem}_distinct" in records:
        columns["distinct\npoints"] = [Cell(f"{n:,}") for n in records[f"{stem}_distinct"].values]
    columns[name] = _with_spread(values, stderrs, digits)
    if has_null(records):
        nulls = records[f"{stem}_null"].values, records[f"{stem}_null_spread"].values
        columns["(null)"] = _with_spread(*nulls, digits)
    if np.isfinite(subsets).any():
        columns[f"at n =\n{size:,}"] = [Cell(f"{value:.{digits}f}") for value in subsets]
    return list(columns), _rows(records, list(zip(*columns.values(), strict=True)))


def _of_many_pairs(records: xr.Dataset, name: str) -> tuple[list[str], dict[str, list[Cell]]]:
    matrix, last = _numbers(records, name), records.sizes["space"] - 1
    columns = [(0, min(row + 1, last), last) for row in range(last + 1)]
    chosen = [[row[index] for index in three] for row, three in zip(matrix, columns, strict=True)]
    return ["to the first", "to the next", "to the last"], _rows(records, chosen)


def _rows(records: xr.Dataset, numbers: Sequence[Sequence[Cell]]) -> dict[str, list[Cell]]:
    names = records["space"].values.tolist()
    return {name: list(row) for name, row in zip(names, numbers, strict=True)}


def _numbers(records: xr.Dataset, name: str) -> list[list[Cell]]:
    """A cell for every entry of a metric; none for a space with itself."""
    stem = variable(name)
    value, stderr, null = (records[stem + end].values for end in ("", "_stderr", "_null"))
    itself = np.zeros(value.shape, bool)
    if "space_to" in records[stem].dims:
        np.fill_diagonal(itself, True)
    digits = _digits(stderr[~itself])
    rows = np.stack([value, stderr, null], axis=-1)
    return [
        [Cell("·") if same else _cell(entry, digits) for entry, same in zip(*row, strict=True)]
        for row in zip(rows, itself, strict=True)
    ]


def _cell(entry: np.ndarray, digits: int) -> Cell:
    value, stderr, null = entry
    shown = f"({null:.{digits}f})" if np.isfinite(null) else ""
    return _number(value, stderr, digits)._replace(null=shown)


def _number(value: float, spread: float, digits: int) -> Cell:
    if not np.isfinite(value):
        return Cell("undefined")
    return Cell(f"{value:.{digits}f}", f"±{spread:.{digits}f}" if np.isfinite(spread) else "")


def _with_spread(values: np.ndarray, spreads: np.ndarray, digits: int) -> list[Cell]:
    pairs = zip(values, spreads, strict=True)
    return [_number(value, spread, digits) for value, spread in pairs]


def _digits(stderr: np.ndarray) -> int:
    """Decimals that show the smallest error, at most 4."""
    errors = stderr[np.isfinite(stderr) & (stderr > 0)]
    return int(np.clip(np.ceil(-np.log10(errors.min())), 1, 4)) if errors.size else 2
