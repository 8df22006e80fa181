"""One-layer VAEs of the size of the two-layer network: a grid of their own, beside the grid."""

import dataclasses
from pathlib import Path

import xarray as xr

from experiments.rate_allocation.config import Config
from experiments.rate_allocation.uses import accuracy_of_images, trust

# What is taken over, and what it is called.
_TAKEN = {
    "rates": "baseline_rate",
    "distortion": "baseline_distortion",
    "psnr": "baseline_psnr",
    "inception_score": "baseline_inception_score",
    "accuracy": "baseline_accuracy",
}


def baseline_of(config: Config) -> Config:
    """The grid of one-layer VAEs: a line of all prices."""
    prices = tuple(sorted({*config.beta_top, *config.beta_bottom}))
    return dataclasses.replace(
        config, network="one_layer", beta_top=prices, beta_bottom=(1.0,), baseline=False
    )


def baseline_folder(out: Path) -> Path:
    """Where their results are, in the folder of the grid."""
    return out / "baseline"


def with_baseline(records: xr.Dataset, folder: Path) -> xr.Dataset:
    """Adds what one-layer VAEs have at the end, over `price` and `seed`, to the records of a grid.

    The accuracy is that of classifiers of samples which one half of the images chooses and the
    other judges (`accuracy_of_images`); runs that failed or are suspect have NaN.
    """
    with xr.open_dataset(folder / "records.nc") as opened:
        loaded = opened.load()
    (layer,) = loaded["layer"].values
    best = accuracy_of_images(loaded, layer).mean("image", skipna=False)
    taken = loaded.isel(epoch=-1, layer=0, drop=True).assign(accuracy=best)[[*_TAKEN]]
    taken = taken.where(trust(loaded)).isel(beta_bottom=0, drop=True)
    return records.merge(taken.rename({**_TAKEN, "beta_top": "price"}), compat="no_conflicts")
