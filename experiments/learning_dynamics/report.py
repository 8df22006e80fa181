"""What is shown of a study: the records of its models, tables, figures and a page."""

from collections.abc import Sequence
from functools import partial

import xarray as xr
from rich.console import Console

from experiments.learning_dynamics.config import Config, DataAndNetwork, data_and_networks
from experiments.learning_dynamics.figures import draw_dynamics
from experiments.learning_dynamics.page import dynamics_page
from experiments.learning_dynamics.records import gather
from experiments.learning_dynamics.summary import dynamics_summary, dynamics_table
from jaxvae.report.results import write_report
from jaxvae.sweeps.sweep import Sweep


def report(config: Config, sweep: Sweep, console: Console) -> None:
    """Merge and draw the models that are done."""
    gathered = {group: gather(config, group, sweep.out) for group in data_and_networks(config)}
    records = {group: some for group, some in gathered.items() if some is not None}
    lacking = gathered.keys() - records.keys()
    empty = "; ".join(f"{group.data}, {group.network}" for group in lacking)
    if not records:
        raise ValueError(
            f"expected a model that was trained to the end, got none for {empty}: wait for "
            "more runs, or, where losses became NaN or infinite, try a smaller --learning-rate "
            "and another --out"
        )
    if empty:
        console.print(f"no model was trained to the end for {empty}", soft_wrap=True)
    _write(sweep, list(records.values()), console)


def _write(sweep: Sweep, records: Sequence[xr.Dataset], console: Console) -> None:
    tree = {
        DataAndNetwork(each.attrs["data"], each.attrs["network"]).name: each for each in records
    }
    page = dynamics_page(records, missing=sweep.missing())
    write_report(
        sweep.out,
        xr.DataTree.from_dict(tree),
        figures=partial(draw_dynamics, records),
        summary=dynamics_summary(records, missing=sweep.missing()),
        lines=[dynamics_table(records), *page.answer],
        console=console,
        page=page,
    )
