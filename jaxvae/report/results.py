"""What every sweep leaves in its folder: records, figures, a summary."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from rich.console import Console

from jaxvae.files.whole import write_whole
from jaxvae.report.page import PAGE, Page, write_page


def write_report(
    out: Path,
    records: xr.Dataset | xr.DataTree,
    *,
    figures: Callable[[Path], list[Path]],
    summary: str,
    lines: Sequence[Any],
    console: Console,
    page: Page | None = None,
) -> None:
    """Write records.nc, figures/*.png, summary.md and report.html, each whole, and print them.

    Args:
        out: folder of the sweep.
        records: all that was recorded.
        figures: draws into a folder.
        summary: in Markdown.
        lines: what is printed: tables and sentences.
        console: where.
        page: what `report.html` shows.
    """
    write_whole(out / "records.nc", records.to_netcdf)
    drawn = figures(out / "figures")
    write_whole(out / "summary.md", lambda part: part.write_text(summary, encoding="utf-8"))
    if page is not None:
        write_page(out, page)
    console.print(*lines, sep="\n")
    shown = f"figures: {out / 'figures'}/*.png   " if drawn else ""
    shown += f"page: {out / PAGE}   " if page is not None else ""
    ends = f"\n{shown}records: {out / 'records.nc'}"
    console.print(ends, soft_wrap=True)
