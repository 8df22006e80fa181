"""How often conclusions are wrong: simulated, from data of which the truth is known.

    python -m benchmarks.error_rates [--draws N] [--out FILE] [PART ...]

Every part draws data with a known truth some thousand times, asks jaxvae for its conclusion, and
counts wrong and right ones. docs/statistics.md is written anew. Expected: something wrong in at
most 5% of every row, but for rows of which the page says more. Of parts that are named, only these
are simulated, and the others stay as they are saved. An hour on one core.
"""

import argparse
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.markdown import Markdown
from rich.progress import track

from benchmarks import measure
from benchmarks.error_rates import (
    bottlenecks,
    cells,
    claims,
    dimensions,
    likeness,
    order,
    studies,
    surfaces,
)
from jaxvae.bench.timing import machine
from jaxvae.commands.arguments.paths import as_path

RESULTS = Path(__file__).parents[1] / "results" / "error_rates.json"
PAGE = Path(__file__).parents[2] / "docs" / "statistics.md"
PARTS: dict[str, ModuleType] = {
    "bottlenecks": bottlenecks,
    "studies": studies,
    "dimensions": dimensions,
    "claims": claims,
    "order": order,
    "likeness": likeness,
    "cells": cells,
    "surfaces": surfaces,
}
TITLE = """# How often conclusions are wrong

This page is written by `python -m benchmarks.error_rates`, which simulates data with a known truth
and counts how often the conclusions that jaxvae draws from them are wrong.
"""


def _draws(count: int) -> str:
    # At a larger share p, (1 - p)**count draws without one are less than 5%.
    limit = 100 * (1 - 0.05 ** (1 / count))
    return (
        f"Every entry is of {count:,} draws. What happened in none of them has a true share "
        f"below\n{limit:.1f}%, with 95% confidence."
    )


def page(by_part: dict[str, list[dict[str, Any]]]) -> str:
    """The sections of all parts, each with the number of draws."""
    sections = [
        f"{PARTS[part].section(records)}\n{_draws(records[0]['draws'])}\n"
        for part, records in by_part.items()
    ]
    return "\n".join([TITLE, *sections])


def saved(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The records of a file, by part."""
    records = json.loads(path.read_text(encoding="utf-8"))["records"]
    return {part: [one for one in records if one["part"] == part] for part in PARTS}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)"
    )
    parser.add_argument("--draws", type=int, default=1000, help="of every entry")
    parser.add_argument("--out", type=as_path, default=RESULTS, help="JSON file")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"expected parts among {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    described, wanted = machine(), given.parts or list(PARTS)
    by_part = saved(given.out) if given.parts else {}
    for part in track(wanted, console=Console(stderr=True)):
        records = PARTS[part].records(given.draws)
        by_part[part] = [{"part": part, "draws": given.draws, **one} for one in records]
    by_part = {part: by_part[part] for part in PARTS if part in by_part}
    measure.save(given.out, described, [one for records in by_part.values() for one in records])
    text = page(by_part)
    if given.out == RESULTS:
        PAGE.write_text(text, encoding="utf-8")
    Console(width=100).print(Markdown(text))


if __name__ == "__main__":
    main()
