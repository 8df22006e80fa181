"""What is shown of a sweep: the records of its runs, tables, figures and a page."""

from functools import partial

import numpy as np
import xarray as xr
from rich.console import Console

from experiments.bottleneck.claims import claims
from experiments.bottleneck.config import Config
from experiments.bottleneck.figures import draw_figures
from experiments.bottleneck.page import bottleneck_page
from experiments.bottleneck.records import gather, lacking
from experiments.bottleneck.summary import conclusion, summary, sweep_table
from jaxvae.report.results import write_report
from jaxvae.sweeps.sweep import Sweep

# Dimensions that have the labels of seeds, and of bottlenecks.
_ALIKE = {
    "seed": ("seed", "compared_seed", "other_seed"),
    "bottleneck": ("bottleneck", "other_bottleneck"),
}


def report(config: Config, sweep: Sweep, console: Console) -> None:
    """Merge and draw the runs that are done."""
    records = gather(config, sweep)
    trained = trained_runs(records, console)
    write_report(
        sweep.out,
        records,
        figures=partial(draw_figures, trained),
        summary=summary(trained),
        page=bottleneck_page(trained),
        lines=[sweep_table(trained), conclusion(trained), *claims(trained)],
        console=console,
    )


def trained_runs(records: xr.Dataset, console: Console) -> xr.Dataset:
    """The seeds of which all runs are done and none failed, or else the bottlenecks like that."""
    lacks = lacking(records)
    if not lacks.any():
        return records
    seeds, sizes = ~lacks.any("bottleneck"), ~lacks.any("seed")
    if not seeds.any() and not sizes.any():
        raise ValueError(
            "expected at least one seed, or one bottleneck, of which all runs are done and none "
            "failed, got none: wait for more runs, or, where losses became NaN or infinite, try a "
            "smaller --learning-rate and another --out"
        )
    failed = [
        f"K = {size}, seed {seed}"
        for size in records["bottleneck"].values
        for seed in records["seed"].values
        if records["failed"].any("epoch").sel(bottleneck=size, seed=seed)
    ]
    left_out = "their seeds" if seeds.any() else "their bottlenecks"
    if failed:
        console.print(f"failed: {'; '.join(failed)}; {left_out} are left out below", soft_wrap=True)
    name, values = ("seed", seeds) if seeds.any() else ("bottleneck", sizes)
    labels = records[name].values[values.values]
    alike = [each for each in _ALIKE[name] if each in records.dims]
    return records.isel(
        {each: np.flatnonzero(np.isin(records[each].values, labels)) for each in alike}
    )
