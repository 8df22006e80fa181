"""What is shown of a grid: the records of its runs, tables, figures and a page."""

from functools import partial

import xarray as xr
from rich.console import Console

from jaxvae.grids.figures import draw_grid
from jaxvae.grids.grid import Grid, label
from jaxvae.grids.page import grid_page
from jaxvae.grids.records import gather
from jaxvae.grids.tables import summary, sweep_tables
from jaxvae.report.results import write_report
from jaxvae.sweeps.sweep import Sweep


def report(grid: Grid, sweep: Sweep, console: Console) -> None:
    """Merge and draw the runs that are done."""
    records = gather(grid, sweep.out)
    if bool((records["failed"].any("epoch") | records["missing"]).all()):
        raise ValueError(
            "expected a run that is done and did not fail, got none: where losses became NaN or "
            "infinite, try a smaller --learning-rate and another --out"
        )
    labels = map(label, grid.settings)
    shown = records.isel({each: 0 for each in labels if each not in grid.varying})
    _say_failed(sweep, records, console)
    page = grid_page(grid, shown)
    write_report(
        sweep.out,
        records,
        figures=partial(draw_grid, grid, shown),
        summary=summary(grid, shown),
        page=page,
        lines=[page.title, *sweep_tables(grid, shown), *page.answer],
        console=console,
    )


def _say_failed(sweep: Sweep, records: xr.Dataset, console: Console) -> None:
    # Records have the order of the runs.
    failed = records["failed"].any("epoch").values.flat
    names = [name for name, one in zip(sweep.runs, failed, strict=True) if one]
    if names:
        console.print(f"failed, and left out below: {', '.join(names)}", soft_wrap=True)
