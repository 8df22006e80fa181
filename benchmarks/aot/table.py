"""The account of every program in a line."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

Record = dict[str, Any]

MIB, GIB = 2**20, 2**30
COLUMNS = (
    "program",
    "parts",
    "CPU s",
    "GiB of HBM",
    "MiB of code",
    "GFLOP",
    "GB",
    "products",
    "convolutions",
    "collectives",
)


def line(record: Record) -> tuple[str, ...]:
    """The row of a program: sums over its parts, and of their memory the largest."""
    name = record["program"]
    if "error" in record:
        return name, record["error"], *[""] * (len(COLUMNS) - 2)
    parts: list[Record] = record["parts"]
    flops, moved = (sum(p["calls"] * p[each] for p in parts) for each in ("flops", "bytes"))
    return (
        name,
        str(len(parts)),
        f"{sum(part['cpu_seconds'] for part in parts):.1f}",
        f"{max((part['memory'] for part in parts), default=0) / GIB:.3f}",
        # Not every compiler tells the next three.
        _known(sum(part["code"] for part in parts) / MIB, 1),
        _known(flops / 1e9, 2),
        _known(moved / 1e9, 3),
        _counted(part["products"] for part in parts),
        _counted({"": part["convolutions"]} for part in parts),
        _counted(part["collectives"] for part in parts),
    )


def said(record: Record) -> str:
    """The same quantities in words."""
    name, *texts = line(record)
    if "error" in record:
        return f"{name}: {texts[0]}"
    words = [f"{text} {column}" for column, text in zip(COLUMNS[1:], texts, strict=True) if text]
    return f"{name}: {'; '.join(words)}"


def markdown(records: Sequence[Record]) -> str:
    """All lines as a table of a page."""
    lines = [COLUMNS, ("---", *["---:"] * 6, *["---"] * 3), *map(line, records)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _known(number: float, digits: int) -> str:
    return f"{number:.{digits}f}" if number else ""


def _counted(counts: Iterable[dict[str, int]]) -> str:
    total: Counter[str] = sum(map(Counter, counts), Counter())
    return ", ".join(f"{number} {name}".strip() for name, number in sorted(total.items()))
