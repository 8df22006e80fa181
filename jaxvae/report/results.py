"""The results that every sweep writes to its folder: records, figures, a summary and a page."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import xarray as xr
from rich.console import Console

from jaxvae.files.whole import write_text_whole, write_whole
from jaxvae.report.page import PAGE, Page, picture_of, write_page
from jaxvae.runs.provenance import made_by


def write_report(
    out: Path,
    records: xr.Dataset | xr.DataTree,
    *,
    figures: Callable[[Path], list[Path]],
    summary: str,
    lines: Sequence[Any],
    console: Console,
    page: Page,
    pictured: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write records.nc, figures/*.png, summary.md and report.html, each whole, and print them.

    Args:
        out: folder of the sweep.
        records: all measurements.
        figures: function that draws figures into a folder.
        summary: text in Markdown.
        lines: tables and sentences that are printed.
        console: console that they are printed to.
        page: what `report.html` shows, beside what made the folder.
        pictured: how those of the figures are read that the page shows itself, by name.
    """
    write_whole(out / "records.nc", records.to_netcdf)
    drawn = figures(out / "figures")
    write_text_whole(out / "summary.md", summary)
    pictures = [picture_of(path, pictured[path.stem]) for path in drawn if path.stem in pictured]
    told = {**page.settings, **made_by(out)}
    write_page(out, page._replace(settings=told, pictures=pictures), drawn)
    for line in lines:
        # A table has its own lines.
        console.print(line, soft_wrap=isinstance(line, str))
    shown = f"figures: {out / 'figures'}/*.png   " if drawn else ""
    ends = f"\n{shown}page: {out / PAGE}   records: {out / 'records.nc'}"
    console.print(ends, soft_wrap=True)
