"""The whole study: train what is missing, compare, draw."""

from pathlib import Path

import xarray as xr
from rich.console import Console

from experiments.command import refuse_unless
from experiments.learning_dynamics.comparing import compare_models
from experiments.learning_dynamics.figures import draw_dynamics
from experiments.learning_dynamics.grid import Config, Place
from experiments.learning_dynamics.records import gather, is_compared, unfinished_models
from experiments.learning_dynamics.summary import dynamics_summary, dynamics_table
from experiments.learning_dynamics.training import train_objective
from experiments.output import open_output, refuse_other_settings
from jaxvae.data import load
from jaxvae.files.whole import write_whole
from jaxvae.report import sweep_progress
from jaxvae.runs.folder import sole_process


def run(config: Config, out: Path, console: Console) -> None:
    """Train and compare what is not yet done, then draw it."""
    refuse_other_settings(out, config, extendable=("data", "networks", "objectives"))
    open_output(out, config)
    with sole_process(out):
        places = [Place(data, network) for data in config.data for network in config.networks]
        for place in places:
            if unfinished_models(config, place.folder(out)) or not is_compared(config, place, out):
                _work_on(config, place, out, console)
        _report(config, places, out, console)


def _work_on(config: Config, place: Place, out: Path, console: Console) -> None:
    dataset = load(place.data, image_size=config.image_size, train_size=config.train_size)
    available = len(dataset.test.images)
    expectation = f"up to the {available} held-out images of {place.data}"
    refuse_unless(config, "points", expectation, unless=config.points <= available)
    folder = place.folder(out)
    todo = sorted({model.objective for model in unfinished_models(config, folder)})
    console.print(f"{place.data}, {place.network}: {len(todo)} objectives to train")
    with sweep_progress(console, runs=len(todo), unit="objectives") as progress:
        for objective in todo:
            train_objective(
                config, place, objective, folder=folder, dataset=dataset, progress=progress
            )
    compare_models(config, place, folder, dataset, console)


def _report(config: Config, places: list[Place], out: Path, console: Console) -> None:
    records = {place: gather(config, place, place.folder(out)) for place in places}
    tree = xr.DataTree.from_dict(
        {
            f"{place.data.replace('/', '--')}/{place.network}": found
            for place, found in records.items()
        }
    )
    write_whole(out / "records.nc", tree.to_netcdf)
    datasets = list(records.values())
    figures = draw_dynamics(datasets, out / "figures")
    write_whole(
        out / "summary.md",
        lambda part: part.write_text(dynamics_summary(datasets), encoding="utf-8"),
    )
    console.print(dynamics_table(datasets))
    ends = f"\nfigures: {figures[0].parent}/*.png   records: {out / 'records.nc'}"
    console.print(ends, soft_wrap=True)
