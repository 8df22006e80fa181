"""One-layer VAEs of the size of the two-layer network, beside the grid."""

from pathlib import Path

import xarray as xr

from experiments.rate_allocation.config import Config
from experiments.rate_allocation.records import gather
from experiments.rate_allocation.runs import BASELINE, baseline_of
from experiments.rate_allocation.uses import accuracy_of_images, trust

# What is taken over, and what it is called.
_TAKEN = {
    "rates": "baseline_rate",
    "distortion": "baseline_distortion",
    "psnr": "baseline_psnr",
    "inception_score": "baseline_inception_score",
    "accuracy": "baseline_accuracy",
}


def with_baseline(records: xr.Dataset, config: Config, out: Path) -> xr.Dataset:
    """Adds what one-layer VAEs have at the end, over `price` and `seed`, to the records of a grid.

    The coordinate `price` is their beta. The accuracy is that of classifiers of samples, chosen
    on one half of the images and tested on the other (`accuracy_of_images`). Runs that are not
    done, failed or are suspect have NaN; where none is left, nothing is added.
    """
    line = gather(baseline_of(config), out, begin=BASELINE)
    if line is None:
        return records
    (layer,) = line["layer"].values
    best = accuracy_of_images(line, layer).mean("image", skipna=False)
    taken = line.isel(epoch=-1, layer=0, drop=True).assign(accuracy=best)[[*_TAKEN]]
    taken = taken.where(trust(line)).isel(beta_bottom=0, drop=True)
    return records.merge(taken.rename({**_TAKEN, "beta_top": "price"}), compat="no_conflicts")
