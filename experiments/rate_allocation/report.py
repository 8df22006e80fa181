"""What is shown of a grid: the records of its runs, tables, figures and a page."""

from functools import partial

import numpy as np
from rich.console import Console

from experiments.rate_allocation.baseline import with_baseline
from experiments.rate_allocation.claims import rate_conclusions
from experiments.rate_allocation.config import Config
from experiments.rate_allocation.figures import draw_rate_figures
from experiments.rate_allocation.page import rate_page
from experiments.rate_allocation.protocol_report import protocol_tables
from experiments.rate_allocation.records import gather
from experiments.rate_allocation.summary import rate_summary, rate_table
from experiments.rate_allocation.uses import GRID, uses
from jaxvae.report.results import write_report
from jaxvae.report.tables import markdown_table
from jaxvae.sweeps.sweep import Sweep


def report(config: Config, sweep: Sweep, console: Console) -> None:
    """Merge and draw the runs that are done."""
    records = gather(config, sweep.out)
    if records is None:
        raise ValueError(
            "expected a cell that is done and did not fail, got none: wait for more "
            "runs, or, where losses became NaN or infinite, try a smaller --learning-rate and "
            "another --out"
        )
    if config.baseline:
        records = with_baseline(records, config, sweep.out)
    # One seed less is not a seed of which nothing is known.
    begun = ~records["missing"].all(GRID).values
    records = records.isel(seed=np.flatnonzero(begun))
    judged = (
        "Generated images are judged by a classifier with accuracy "
        f"{records.attrs['judge_accuracy']:.4f}."
    )
    # Computed once: which cells are best takes seconds.
    every_use = uses(records)
    conclusions = rate_conclusions(records, every_use)
    summary = rate_summary(records, every_use, conclusions).rstrip()
    more = [
        f"## {table.title}\n\n{markdown_table(table.rows)}\n\n{table.reads}"
        for table in protocol_tables(records)
    ]
    write_report(
        sweep.out,
        records,
        figures=partial(draw_rate_figures, records, every_use),
        summary="\n\n".join([summary, *more]) + "\n",
        lines=[rate_table(records, every_use), judged, *conclusions],
        console=console,
        page=rate_page(records, every_use, conclusions),
    )
