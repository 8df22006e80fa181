"""The best split of the rate between two layers for every use, from the records of a grid."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from jaxvae.analysis.response_surface import BestRegion, best_region

_BETAS = ("beta_top", "beta_bottom")
# The chance that the best region of any use leaves out its best cell, over all uses together.
_ERROR = 0.05


def is_plane(records: xr.Dataset) -> bool:
    """Whether records are those of a grid of betas of two layers."""
    return set(_BETAS) <= set(records.dims) and "rates" in records


def plane_sentences(records: xr.Dataset) -> list[str]:
    """A sentence for every use on the best split of the rate, or that it is not decided.

    Only cells are counted of which every seed is done, has not failed and is not suspect. In at
    most 5% of grids, the best cell of any use is left out.
    """
    stacked = records.isel(epoch=-1, missing_dims="ignore").stack(cell=_BETAS)
    stacked = stacked.transpose("cell", "seed", ...)
    bad = stacked["missing"] | stacked["failed"] | stacked["suspect"]
    rates = stacked["rates"].transpose("cell", "seed", "layer").values
    middle = rates.shape[2] // 2
    halves = np.stack([rates[..., :middle].sum(2), rates[..., middle:].sum(2)], axis=2)
    scores = _scores(stacked)
    sentences = []
    for use, values in scores.items():
        whole = (~bad.values & np.isfinite(values) & np.isfinite(halves).all(axis=2)).all(axis=1)
        try:
            region = best_region(halves[whole], values[whole], error=_ERROR / len(scores))
        except ValueError as error:
            sentences.append(f"{use}: not decided ({error}).")
        else:
            sentences.append(f"{use}: {_sentence(region, halves[whole].mean(axis=1))}")
    return sentences


def _scores(stacked: xr.Dataset) -> dict[str, Float[np.ndarray, "m s"]]:
    """The scores of every cell and seed; of accuracies, that of the best layer and classifier."""
    accuracy = stacked["accuracy"].sel(kind="sample").max(("layer", "classifier"))
    return {
        "Reconstruction (PSNR)": stacked["psnr"].values,
        "Representation (accuracy of a classifier of samples)": accuracy.values,
        "Generation (inception score)": stacked["inception_score"].values,
    }


def _sentence(region: BestRegion, rates: Float[np.ndarray, "m 2"]) -> str:
    if not region.is_quadratic:
        return (
            "not decided: the scores may be no quadratic surface, from which cells or cubic terms "
            "differ by more than trainings do."
        )
    if not region.is_decided:
        return "not decided: no split is shown to be worse than another."
    left = rates[region.candidates]
    share = left[:, 0] / np.maximum(left.sum(axis=1), np.finfo(float).tiny)
    best = rates[region.best]
    return (
        f"the best split has {_range(left[:, 0])} nats in the upper half of the layers and "
        f"{_range(left[:, 1])} in the lower half, {_range(left.sum(axis=1))} in all (95% "
        f"confidence for all uses if scores are a quadratic function of the logarithms of rates; "
        f"{len(left)} of {len(rates)} cells that were tried), which is "
        f"{share.min():.0%} to {share.max():.0%} of the rate in the upper half. The fitted surface "
        f"is highest at {best[0]:.1f} nats in the upper and {best[1]:.1f} in the lower half."
    )


def _range(values: Float[np.ndarray, " m"]) -> str:
    return f"{values.min():.1f} to {values.max():.1f}"
