"""What every sweep leaves in its folder: records, figures, a summary."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from rich.console import Console

from jaxvae.files.whole import write_whole


def write_report(
    out: Path,
    records: xr.Dataset | xr.DataTree,
    *,
    figures: Callable[[Path], list[Path]],
    summary: str,
    lines: Sequence[Any],
    console: Console,
) -> None:
    """Write records.nc, figures/*.png and summary.md, each whole, and print what was found.

    Args:
        out: folder of the sweep.
        records: all that was recorded.
        figures: draws into a folder.
        summary: in Markdown.
        lines: what is printed: tables and sentences.
        console: where.
    """
    write_whole(out / "records.nc", records.to_netcdf)
    drawn = figures(out / "figures")
    write_whole(out / "summary.md", lambda part: part.write_text(summary, encoding="utf-8"))
    console.print(*lines, sep="\n")
    shown = f"figures: {out / 'figures'}/*.png   " if drawn else ""
    ends = f"\n{shown}records: {out / 'records.nc'}"
    console.print(ends, soft_wrap=True)
