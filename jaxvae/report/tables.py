"""Numbers as text, and rows of text as tables: in Markdown and for the terminal."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from jaxvae.analysis.estimate import Estimate, mean_estimate
from jaxvae.typing import ArrayLike

# Longer words of a column of names are folded where the terminal is narrow.
_WIDEST_WORD = 16


def with_error(estimate: Estimate, *, sign: str = "") -> str:
    """A number and its standard error, to the second digit of the error; `sign` is of a format.

    Where the error is not known, or 0, four digits of the number alone.
    """
    value, stderr = float(estimate.value), float(estimate.stderr)
    if not stderr > 0 or not math.isfinite(stderr):
        return f"{value:{sign}.4g}"
    digits = max(0, 1 - math.floor(math.log10(stderr)))
    return f"{value:{sign}.{digits}f} ± {stderr:.{digits}f}"


def compared(p_value: float) -> str:
    """A p-value as it stands behind "p": `= 0.012`, or `< 0.001`."""
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"


def decimals(number: float, digits: int) -> str:
    """A number with so many decimals; `·` for NaN."""
    return "·" if math.isnan(number) else f"{number:.{digits}f}"


def over_seeds(mean: float, stderr: float, digits: int) -> str:
    """A mean over seeds and its standard error where it has one, `0.40±0.04`; `·` for NaN."""
    error = "" if math.isnan(mean) or math.isnan(stderr) else f"±{stderr:.{digits}f}"
    return decimals(mean, digits) + error


def mean_over_seeds(values: ArrayLike, digits: int) -> str:
    """The mean of a number over seeds and, where they differ, its standard error: `0.40±0.04`.

    NaN of models that failed is left out; `·` stands for none that is known.
    """
    known = np.ravel(values)
    known = known[np.isfinite(known)]
    if not len(known):
        return decimals(math.nan, digits)
    mean, stderr = mean_estimate(known)
    return over_seeds(float(mean), float(stderr) if np.ptp(known) > 0 else math.nan, digits)


def printed_table(
    rows: Sequence[Mapping[str, str]],
    *,
    left: Collection[str] = (),
    title: str | None = None,
    split: bool = False,
) -> Table:
    """Rows of text by column, for the terminal, all but the columns `left` to the right.

    Args:
        rows: one for each line, all with the same columns.
        left: columns that are aligned to the left.
        title: what stands above.
        split: whether the first word of a column's name stands on a line of its own.
    """
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    for column in rows[0] if rows else ():
        name = column.replace(" ", "\n", 1) if split and column not in left else column
        if column in left:
            words = (word for row in rows for word in row[column].split())
            least = min(_WIDEST_WORD, max(map(len, words), default=0))
            table.add_column(name, min_width=least, overflow="fold")
        else:
            table.add_column(name, justify="right", overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    return table


def markdown_table(rows: Sequence[Mapping[str, str]], *, left: Collection[str] = ()) -> str:
    """Rows of text by column, all but the columns `left` aligned to the right; nothing of none."""
    if not rows:
        return ""
    lines = [_markdown_line(texts) for texts in (rows[0], *(row.values() for row in rows))]
    rules = (" --- |" if column in left else " ---: |" for column in rows[0])
    lines.insert(1, "|" + "".join(rules))
    return "\n".join(lines)


def _markdown_line(texts: Iterable[str]) -> str:
    cells = (text.replace("\n", " ").replace("|", r"\|") for text in texts)
    return f"| {' | '.join(cells)} |"
