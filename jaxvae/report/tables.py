"""Tables as Markdown."""

from collections.abc import Mapping, Sequence


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of text by column, aligned to the right; nothing of no rows."""
    if not rows:
        return ""
    lines = ["| " + " | ".join(row) + " |" for row in (rows[0], *(row.values() for row in rows))]
    lines.insert(1, "|" + "---:|" * len(rows[0]))
    return "\n".join(lines)
