"""Records of simulations as the rows of a table."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Record = dict[str, Any]


def rows_by(
    records: Iterable[Record],
    names: Sequence[str],
    across: str,
    entry: Callable[[Record], str],
) -> list[dict[str, str]]:
    """A row for every combination of some settings, with an entry for every value of another.

    Args:
        records: records, with the settings of a row one after another.
        names: settings that a row has columns of.
        across: setting of which every value has a column, such as "noise 0.1".
        entry: the text of a record.
    """
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for record in records:
        named = {name: str(record[name]) for name in names}
        row = rows.setdefault(tuple(named.values()), named)
        row[f"{across} {record[across]:g}"] = entry(record)
    return [*rows.values()]


def right_and_wrong(record: Record) -> str:
    """The percentages of right and of wrong conclusions."""
    return f"{100 * record['right']:.0f} / {100 * record['wrong']:.1f}"
