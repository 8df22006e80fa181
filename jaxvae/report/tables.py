"""Tables as Markdown."""

from collections.abc import Mapping, Sequence


def markdown_table(rows: Sequence[Mapping[str, str]], *, named: int = 0) -> str:
    """Rows of text by column; nothing of no rows.

    Args:
        rows: text by column, the same columns in each.
        named: columns in front that are names, aligned to the left; others are to the right.
    """
    if not rows:
        return ""
    lines = ["| " + " | ".join(row) + " |" for row in (rows[0], *(row.values() for row in rows))]
    lines.insert(1, "|" + "---|" * named + "---:|" * (len(rows[0]) - named))
    return "\n".join(lines)
