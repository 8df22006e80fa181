"""What the records of a rate plane say of the best split of the rate, for every use of it."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from jaxvae.analysis.response_surface import BestRegion, best_region

_PRICES = ("beta_top", "beta_bottom")
# Of all uses together.
_ERROR = 0.05


def is_plane(records: xr.Dataset) -> bool:
    """Whether records are those of a grid of prices of two layers."""
    return set(_PRICES) <= set(records.dims) and "rates" in records


def plane_sentences(records: xr.Dataset) -> list[str]:
    """For every use, where in the plane of rates the best split lies, or that it is not decided.

    Cells count of which every seed is done, has not failed and is not suspect. All uses together
    leave out a best cell in at most 5% of planes.
    """
    stacked = records.isel(epoch=-1, missing_dims="ignore").stack(cell=_PRICES)
    stacked = stacked.transpose("cell", "seed", ...)
    bad = stacked["missing"] | stacked["failed"] | stacked["suspect"]
    rates = stacked["rates"].transpose("cell", "seed", "layer").values
    middle = rates.shape[2] // 2
    halves = np.stack([rates[..., :middle].sum(2), rates[..., middle:].sum(2)], axis=2)
    scores = _scores(stacked)
    said = []
    for use, values in scores.items():
        whole = (~bad.values & np.isfinite(values) & np.isfinite(halves).all(axis=2)).all(axis=1)
        try:
            found = best_region(halves[whole], values[whole], error=_ERROR / len(scores))
        except ValueError as error:
            said.append(f"{use}: not decided ({error}).")
        else:
            said.append(f"{use}: {_sentence(found, halves[whole].mean(axis=1))}")
    return said


def _scores(stacked: xr.Dataset) -> dict[str, Float[np.ndarray, "m s"]]:
    """Of every cell and seed; of representations the best layer and classifier."""
    accuracy = stacked["accuracy"].sel(kind="sample").max(("layer", "classifier"))
    return {
        "Reconstruction (PSNR)": stacked["psnr"].values,
        "Representation (accuracy of a classifier of samples)": accuracy.values,
        "Generation (inception score)": stacked["inception_score"].values,
    }


def _sentence(found: BestRegion, rates: Float[np.ndarray, "m 2"]) -> str:
    if not found.is_quadratic:
        return "not decided: cells differ by more than trainings do from any quadratic surface."
    if not found.is_decided:
        return "not decided: no split is shown to be worse than another."
    left = rates[found.candidates]
    share = left[:, 0] / np.maximum(left.sum(axis=1), np.finfo(float).tiny)
    best = rates[found.best]
    return (
        f"the best split lies where the upper half has {_range(left[:, 0])} nats and the lower "
        f"half {_range(left[:, 1])} (95% confidence for all uses; {len(left)} of {len(rates)} "
        f"cells), the upper half with {share.min():.0%} to {share.max():.0%} of the rate. The "
        f"surface is highest at {best[0]:.1f} and {best[1]:.1f} nats."
    )


def _range(values: Float[np.ndarray, " m"]) -> str:
    return f"{values.min():.1f} to {values.max():.1f}"
