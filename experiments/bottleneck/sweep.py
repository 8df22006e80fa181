"""The whole sweep: train and measure what is missing, draw."""

from pathlib import Path

import xarray as xr
from rich.console import Console

from experiments.bottleneck.claims import claims
from experiments.bottleneck.config import Config
from experiments.bottleneck.figures import draw_figures
from experiments.bottleneck.records import gather, unfinished_runs
from experiments.bottleneck.summary import conclusion, summary, sweep_table
from experiments.bottleneck.training import model_of, train_runs
from experiments.command import refuse_unless
from experiments.output import open_output, refuse_other_settings
from jaxvae.data import Dataset, load
from jaxvae.files.whole import write_whole
from jaxvae.runs.folder import sole_process
from jaxvae.training import steps_per_epoch


def run(config: Config, out: Path, console: Console) -> None:
    """Train and measure what is not yet done, then draw it."""
    refuse_other_settings(out, config, extendable=("bottlenecks", "seeds"))
    dataset = _load(config) if unfinished_runs(config, out) else None
    open_output(out, config)
    with sole_process(out):
        if dataset is not None:
            train_runs(config, out, dataset, console)
        _report(config, out, console)


def _report(config: Config, out: Path, console: Console) -> None:
    records = gather(config, out)
    write_whole(out / "records.nc", records.to_netcdf)
    trained = _trained(records, console)
    figures = draw_figures(trained, out / "figures")
    write_whole(
        out / "summary.md", lambda part: part.write_text(summary(trained), encoding="utf-8")
    )
    console.print(sweep_table(trained), conclusion(trained), *claims(trained), sep="\n")
    ends = f"\nfigures: {figures[0].parent}/*.png   records: {out / 'records.nc'}"
    console.print(ends, soft_wrap=True)


def _trained(records: xr.Dataset, console: Console) -> xr.Dataset:
    """The seeds of which no run failed, or else the bottlenecks of which none did."""
    failed = records["failed"].any("epoch")
    if not failed.any():
        return records
    seeds, sizes = ~failed.any("bottleneck"), ~failed.any("seed")
    if not seeds.any() and not sizes.any():
        raise ValueError(
            "expected a seed, or a bottleneck, of which no run failed, got none: losses became "
            "NaN or infinite; try a smaller --learning-rate and another --out"
        )
    lost = [
        f"K = {size}, seed {seed}"
        for size in failed["bottleneck"].values
        for seed in failed["seed"].values
        if failed.sel(bottleneck=size, seed=seed)
    ]
    left_out = "their seeds" if seeds.any() else "their bottlenecks"
    console.print(f"failed: {'; '.join(lost)}; {left_out} are left out below", soft_wrap=True)
    if seeds.any():
        return records.sel(seed=seeds, other_seed=seeds.values)
    return records.sel(bottleneck=sizes, other_bottleneck=sizes.values)


def _load(config: Config) -> Dataset:
    """The data, once it is known that these settings can be trained on it."""
    dataset = load(
        config.data,
        image_size=config.image_size,
        train_size=config.train_size,
        test_size=config.test_size,
    )
    available = len(dataset.test.images)
    fine = config.points <= available
    expectation = f"up to the {available} test images of {config.data}"
    refuse_unless(config, "points", expectation, unless=fine)
    steps_per_epoch(dataset.train.images, config.batch_size)
    model_of(config, dataset.train.images.shape[1:], config.bottlenecks[0])
    return dataset
