"""Numbers as text, and rows of text as tables: in Markdown and for the terminal."""

from collections.abc import Collection, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from jaxvae.analysis.estimate import Estimate


def with_error(estimate: Estimate, digits: int = 2, *, sign: str = "") -> str:
    """A number and its standard error, with so many decimals; `sign` is that of a format."""
    return f"{estimate.value:{sign}.{digits}f} ± {estimate.stderr:.{digits}f}"


def printed_table(rows: Sequence[Mapping[str, str]], *, left: Collection[str] = ()) -> Table:
    """Rows of text by column, for the terminal, all but the columns `left` to the right."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in rows[0]:
        table.add_column(column, justify="left" if column in left else "right", overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    return table


def markdown_table(rows: Sequence[Mapping[str, str]], *, left: Collection[str] = ()) -> str:
    """Rows of text by column, all but the columns `left` aligned to the right; nothing of none."""
    if not rows:
        return ""
    lines = ["| " + " | ".join(row) + " |" for row in (rows[0], *(row.values() for row in rows))]
    rules = (" --- |" if column in left else " ---: |" for column in rows[0])
    lines.insert(1, "|" + "".join(rules))
    return "\n".join(lines)
