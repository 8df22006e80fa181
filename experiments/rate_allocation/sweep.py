"""The whole grid: train and measure what is missing, draw."""

from pathlib import Path

import jax
import numpy as np
from rich.console import Console

from experiments.command import refuse_unless
from experiments.output import open_output, refuse_other_settings
from experiments.rate_allocation.baseline import baseline_folder, baseline_of, with_baseline
from experiments.rate_allocation.config import Config
from experiments.rate_allocation.figures import draw_rate_figures
from experiments.rate_allocation.measuring import labels_of
from experiments.rate_allocation.network import build_network
from experiments.rate_allocation.protocol_report import draw_baseline, protocol_tables
from experiments.rate_allocation.records import (
    gather,
    refuse_earlier_records,
    unfinished_cells,
)
from experiments.rate_allocation.summary import rate_conclusions, rate_summary, rate_table
from experiments.rate_allocation.training import judge_of, train_cells
from jaxvae.data import Dataset, Split, load
from jaxvae.files.whole import write_whole
from jaxvae.runs.folder import sole_process
from jaxvae.training import steps_per_epoch


def run(config: Config, out: Path, console: Console) -> None:
    """Train and measure what is not yet done, then draw it."""
    refuse_other_settings(out, config, extendable=("beta_top", "beta_bottom", "seeds", "baseline"))
    refuse_earlier_records(config, out)
    dataset = _load(config) if unfinished_cells(config, out) else None
    open_output(out, config)
    with sole_process(out):
        if dataset is not None:
            train_cells(config, out, dataset, console)
        if config.baseline:
            console.print("one-layer VAEs of the same size:")
            run(baseline_of(config), baseline_folder(out), console)
        _report(config, out, console)


def _report(config: Config, out: Path, console: Console) -> None:
    records = gather(config, out)
    if config.baseline:
        records = with_baseline(records, baseline_folder(out))
    write_whole(out / "records.nc", records.to_netcdf)
    figures = draw_rate_figures(records, out / "figures")
    if config.baseline:
        draw_baseline(records, out / "figures" / "baseline.png")
    text = "\n\n".join([rate_summary(records).rstrip(), *protocol_tables(records)]) + "\n"
    write_whole(out / "summary.md", lambda part: part.write_text(text, encoding="utf-8"))
    console.print(rate_table(records), *rate_conclusions(records), sep="\n")
    ends = f"\nfigures: {figures[0].parent}/*.png   records: {out / 'records.nc'}"
    console.print(ends, soft_wrap=True)


def _load(config: Config) -> Dataset:
    """The data set, with everything refused that would fail after training."""
    dataset = load(
        config.data,
        image_size=config.image_size,
        train_size=config.train_size,
        test_size=config.test_size,
    )
    for split in (dataset.train, dataset.test):
        labels_of(split)
    for name, split in (("points", dataset.test), ("labeled", dataset.train)):
        available = len(split.images)
        expectation = f"up to the {available} images of its split of {config.data}"
        refuse_unless(config, name, expectation, unless=getattr(config, name) <= available)
    steps_per_epoch(dataset.train.images, config.batch_size)
    judge_of(dataset)
    jax.eval_shape(build_network(config, dataset.train.images.shape[1:]).init, jax.random.key(0))
    if not config.binarize:
        return dataset
    return dataset._replace(train=_binarized(dataset.train), test=_binarized(dataset.test))


def _binarized(split: Split) -> Split:
    return split._replace(images=np.where(split.images > 127, 255, 0).astype(np.uint8))
