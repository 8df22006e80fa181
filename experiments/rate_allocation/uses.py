"""The uses of latents, the score of every cell of a grid in each, and which cells are best."""

import math
from typing import NamedTuple

import numpy as np
import xarray as xr

from jaxvae.analysis.comparison import compare_cells
from jaxvae.analysis.downstream import choose_classifier

GRID = ("beta_top", "beta_bottom")
MODELS = (*GRID, "seed")
# Equal cells may be told apart in this share of grids, over all uses of a grid together.
ERROR = 0.05

Cell = tuple[float, float]


def cell_name(cell: Cell) -> str:
    """A cell by its betas, at the top and at the bottom."""
    return f"beta {cell[0]:g}, {cell[1]:g}"


class Use(NamedTuple):
    """Something that latents are wanted for. Its arrays are over `beta_top` and `beta_bottom`.

    Attributes:
        name: name of the use.
        score: means over seeds, without failed and suspect runs; the largest is the best.
        stderr: standard errors over trainings and examples; NaN with one seed, and for a cell
            with failed or suspect runs.
        candidates: the cells that cannot be told from the best (`compare_cells`), among those
            of which no run failed or is suspect. With one seed all of these.
        highest: the betas, at the top and at the bottom, of the candidate that scores most.
    """

    name: str
    score: xr.DataArray
    stderr: xr.DataArray
    candidates: xr.DataArray
    highest: Cell

    @property
    def leaves_some_out(self) -> bool:
        """Whether some cell is shown to be worse than another, which one seed shows of none."""
        return bool((self.stderr.notnull() & ~self.candidates).any())

    @property
    def best(self) -> list[Cell]:
        """The candidates, by falling score."""
        flat = self.score.where(self.candidates).stack(cell=GRID)
        known = flat["cell"].values[np.argsort(-flat.values, kind="stable")]
        return [(float(top), float(bottom)) for top, bottom in known[: flat.notnull().sum().item()]]


def uses(records: xr.Dataset) -> list[Use]:
    """The uses that a grid was measured for, without those that no cell has in every seed."""
    scores = scores_of_examples(records)
    every_use = [
        _use(records, name, values, ERROR / len(scores)) for name, values in scores.items()
    ]
    return [use for use in every_use if use is not None]


def _use(records: xr.Dataset, name: str, values: xr.DataArray, error: float) -> Use | None:
    example = str(values.dims[-1])
    runs = values.mean(example, skipna=False)
    flat = values.transpose(*GRID, "seed", example).stack(cell=GRID)
    flat = flat.transpose("cell", "seed", example)
    whole = (trust(records) & np.isfinite(runs)).all("seed").stack(cell=GRID)
    if not whole.any():
        return None
    comparison = compare_cells(flat.values[whole.values], error=error)
    stderr, candidates = np.full(whole.size, np.nan), np.zeros(whole.size, bool)
    stderr[whole.values], candidates[whole.values] = comparison.stderr, comparison.candidates
    top, bottom = flat["cell"].values[whole.values][np.argmax(comparison.mean)]
    return Use(
        name,
        runs.where(trust(records)).mean("seed"),
        whole.copy(data=stderr).unstack("cell"),
        whole.copy(data=candidates).unstack("cell"),
        (float(top), float(bottom)),
    )


def scores_of_examples(records: xr.Dataset) -> dict[str, xr.DataArray]:
    """The scores of every use, by example: their mean over examples is the score of a run.

    PSNR (dB) and inception score are functions of a mean over examples; here they are linear in
    each example, which is what decides their error. The code length is in bits per dimension of
    an image, and negative, so that more is better. A classifier of a layer's samples is chosen
    among all by one half of the images and tested on the other (`choose_classifier`).
    """
    squared = records["image_squared_error"]
    mean = squared.mean("image", skipna=False)
    decibels = 10 / math.log(10)
    numbers = math.prod(records.sizes[name] for name in ("height", "width", "channel"))
    nats = records["image_distortion"] + records["image_rates"].sum("layer", skipna=False)
    information = records["generated_information"]
    known = information.mean("generated", skipna=False)
    scores: dict[str, xr.DataArray] = {
        "reconstruction": (1 - squared / mean - np.log(mean)) * decibels,
        "compression": -nats / (math.log(2) * numbers),
        **{
            f"classification from {layer}": accuracy_of_images(records, layer)
            for layer in classified(records, 2)
        },
        "generation": (1 + information - known) * np.exp(known),
    }
    return {
        name: values.transpose(..., "generated" if name == "generation" else "image")
        for name, values in scores.items()
    }


def accuracy_of_images(records: xr.Dataset, layer: str) -> xr.DataArray:
    """For every run and image, 1 where the classifier chosen on the other half is right, else 0.

    NaN of runs that are not done or failed, and of a layer that was not classified.
    """
    right = records["image_right"].sel(layer=layer).transpose(..., "classifier", "image")
    judged = right.isel(classifier=0, drop=True).copy(data=choose_classifier(right.values))
    known = records["accuracy"].sel(layer=layer, drop=True).notnull().any(["kind", "classifier"])
    return judged.astype(float).where(is_done(records) & known)


def trusted(records: xr.Dataset, *names: str) -> xr.Dataset:
    """Some quantities at the last epoch, as means over seeds without failed and suspect runs."""
    last = records[[*names]].isel(epoch=-1, missing_dims="ignore")
    return last.where(trust(records)).mean("seed")


def trust(records: xr.Dataset) -> xr.DataArray:
    """Runs that are done, have not failed and are not suspect."""
    return is_done(records) & ~records["suspect"]


def is_done(records: xr.Dataset) -> xr.DataArray:
    """Runs that are done and have not failed."""
    return ~(records["missing"] | records["failed"].isel(epoch=-1))


def cells_of(records: xr.Dataset) -> list[Cell]:
    """The cells of which a run is done, or has failed."""
    missing = records["missing"].all("seed").stack(cell=GRID)
    return [(float(top), float(bottom)) for top, bottom in missing["cell"].values[~missing]]


def corners(records: xr.Dataset) -> list[Cell]:
    """The four extreme pairs of betas; fewer where a grid is a line."""
    tops, bottoms = records["beta_top"].values, records["beta_bottom"].values
    pairs = [
        (float(top), float(bottom)) for top in (tops[0], tops[-1]) for bottom in bottoms[[0, -1]]
    ]
    return list(dict.fromkeys(pairs))


def classified(records: xr.Dataset, count: int) -> list[str]:
    """The layers with the most rate among those that were classified, which wide ones are not."""
    known = records["accuracy"].notnull().any([d for d in records["accuracy"].dims if d != "layer"])
    return most_rate(records.isel(layer=known.values), count)


def most_rate(records: xr.Dataset, count: int) -> list[str]:
    """The layers with the most rate at the end, on average over the cells, from the top."""
    mean = records["rates"].isel(epoch=-1).mean((*GRID, "seed")).values
    best = np.sort(np.argsort(-mean)[:count])
    return [str(layer) for layer in records["layer"].values[best]]


def halves(records: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Rates of the upper and of the lower half of the layers, nats."""
    middle = records.sizes["layer"] // 2
    rates = records["rates"]
    return tuple(  # type: ignore[return-value]
        rates.isel(layer=part).sum("layer", skipna=False)
        for part in (slice(middle), slice(middle, None))
    )


def half_names(records: xr.Dataset) -> tuple[str, str]:
    """Names of the upper and the lower half of the layers; the upper half of one is no layer."""
    layers = records["layer"].values
    middle = len(layers) // 2
    names = (
        "no layer" if not len(part) else part[0] if len(part) == 1 else f"{part[0]} to {part[-1]}"
        for part in (layers[:middle], layers[middle:])
    )
    return tuple(names)  # type: ignore[return-value]
