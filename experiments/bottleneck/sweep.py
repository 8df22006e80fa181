"""The whole sweep: what is trained and measured, and what is drawn of it."""

from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from rich.console import Console

from experiments.bottleneck.between_models import between_models
from experiments.bottleneck.claims import claims
from experiments.bottleneck.config import Config, compared_seeds, load, run_name, runs
from experiments.bottleneck.figures import draw_figures
from experiments.bottleneck.measuring import measure
from experiments.bottleneck.page import bottleneck_page
from experiments.bottleneck.records import BETWEEN, gather
from experiments.bottleneck.summary import conclusion, summary, sweep_table
from jaxvae.commands.experiment import require
from jaxvae.data import Dataset
from jaxvae.models import HVAE, VAE
from jaxvae.report.results import write_report
from jaxvae.runs.building import build_model
from jaxvae.runs.config import RunConfig
from jaxvae.sweeps.estimate import geometry_seconds, layer_features
from jaxvae.sweeps.launch import Experiment
from jaxvae.sweeps.records import Arrays
from jaxvae.sweeps.sweep import Afterwards, Sweep
from jaxvae.training import steps_per_epoch

# Dimensions that have the labels of seeds, and of bottlenecks.
_ALIKE = {
    "seed": ("seed", "compared_seed", "other_seed"),
    "bottleneck": ("bottleneck", "other_bottleneck"),
}


def _sweep(config: Config, out: Path) -> Sweep:
    every = runs(config)
    compared = [run_name(size, s) for size in config.bottlenecks for s in compared_seeds(config)]
    between = Afterwards(
        f"\N{GREEK CAPITAL LETTER DELTA} between {len(compared)} models",
        out / BETWEEN,
        tuple(compared),
        lambda note: between_models(out, compared),
    )
    return Sweep(
        out=out,
        runs=every,
        epochs=config.measured_epochs,
        load=lambda _: load(config),
        measure=partial(measure, config),
        describe=_describe,
        seconds=partial(_seconds, config),
        afterwards=[between],
    )


def _check(config: Config) -> None:
    """Refuse what cannot be trained on the data there is."""
    dataset = load(config)
    available = len(dataset.test.images)
    fine = config.points <= available
    expectation = f"up to the {available} held-out images of {config.data}"
    require(config, "points", expectation, fine)
    steps_per_epoch(dataset.train.images, config.batch_size)
    build_model(next(iter(runs(config).values())), dataset.train.images.shape[1:])


def _describe(name: str, record: Arrays) -> str:
    if record["failed"][-1]:
        return f"{name}: failed, the loss became NaN or infinite"
    reconstruction, kl = float(record["reconstruction"][-1]), float(record["kl"][-1])
    active = int(record["active_units"][-1])
    return f"{name}: reconstruction {reconstruction:.1f}, KL {kl:.1f} nats, {active} active units"


def _seconds(config: Config, _: RunConfig, model: VAE | HVAE, dataset: Dataset) -> float:
    return geometry_seconds(config.points, layer_features(model))


def _report(config: Config, sweep: Sweep, console: Console) -> None:
    records = gather(config, sweep)
    trained = _trained(records, console)
    write_report(
        sweep.out,
        records,
        figures=partial(draw_figures, trained),
        summary=summary(trained),
        page=bottleneck_page(trained),
        lines=[sweep_table(trained), conclusion(trained), *claims(trained)],
        console=console,
    )


def _trained(records: xr.Dataset, console: Console) -> xr.Dataset:
    """The seeds of which all runs are done and none failed, or else the bottlenecks like that."""
    lacking = records["failed"].any("epoch") | records["missing"]
    if not lacking.any():
        return records
    seeds, sizes = ~lacking.any("bottleneck"), ~lacking.any("seed")
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


EXPERIMENT = Experiment(_sweep, _report, _check, extendable=("bottlenecks", "seeds"))
