"""Rows of text as tables in Markdown."""

from collections.abc import Collection, Mapping, Sequence


def markdown_table(rows: Sequence[Mapping[str, str]], *, left: Collection[str] = ()) -> str:
    """Rows of text by column, all but the columns `left` aligned to the right; nothing of none."""
    if not rows:
        return ""
    lines = ["| " + " | ".join(row) + " |" for row in (rows[0], *(row.values() for row in rows))]
    rules = (" --- |" if column in left else " ---: |" for column in rows[0])
    lines.insert(1, "|" + "".join(rules))
    return "\n".join(lines)
