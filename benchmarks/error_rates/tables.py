"""Records of simulations as the rows of a table."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
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


def worst_of_undecided(records: Iterable[Record], names: Sequence[str]) -> list[Record]:
    """Records by seeds and noise; where no answer is ever right, the worst over numbers of seeds.

    Args:
        records: with those of the same setting next to each other.
        names: what makes a setting, besides seeds and noise.
    """
    kept = []
    for _, group in groupby(records, key=lambda record: [record[name] for name in names]):
        of_setting = list(group)
        if any(round(100 * record["right"]) for record in of_setting):
            kept += of_setting
            continue
        seeds = [record["seeds"] for record in of_setting]
        by_noise: dict[float, list[Record]] = {}
        for record in of_setting:
            by_noise.setdefault(record["noise"], []).append(record)
        worst = (max(some, key=lambda record: record["wrong"]) for some in by_noise.values())
        kept += [record | {"seeds": f"{min(seeds)} to {max(seeds)}"} for record in worst]
    return kept


def right_and_wrong(record: Record) -> str:
    """The percentages of right and of wrong conclusions."""
    return f"{100 * record['right']:.0f} / {100 * record['wrong']:.1f}"
