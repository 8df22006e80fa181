"""The measurements of a sweep over bottleneck sizes, read from the records of any experiment."""

from itertools import product
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

# Dimensions that sizes have in records, first of `jaxvae sweep`.
_SIZES = ("latents", "bottleneck")
_GEOMETRY = ("input", "mean", "sample", "output")
_TYPES = ("active_latents", "mixed_latents", "passive_latents")

LEAST_IMAGES = 50
"""Distinct held-out images without which no size is named."""

# With fewer distinct held-out images, others could lead to another answer (simulated).
_MANY_IMAGES = 200

# At most this share of the images measured may be copies, which move Delta by as large a share of
# it.
_MOST_COPIES = 0.01

HARDLY_ANYTHING = 0.5
"""A reconstruction of so large a Delta to the input has lost most of its neighbors."""


class NoModelError(ValueError):
    """No model is done that did not fail."""


class SweepReading(NamedTuple):
    """Measurements of k sizes and s seeds, all of whose models were trained and did not fail.

    Attributes:
        sizes: ascending.
        seeds: seeds of every size.
        imbalance: Delta(output -> input).
        cost: negative ELBO of held-out images, nats per image.
        training_cost: negative ELBO of training images; NaN where it was not measured.
        cost_stderr: standard error of the cost over held-out images; NaN where it is unknown.
        training_cost_stderr: that over training images; NaN where it is unknown.
        rate: KL of held-out images, nats per image.
        earlier_imbalance: Delta at the epoch measured before; NaN without one.
        dimensions: TwoNN of the layers input, mean, sample and output, by name.
        active_units: latents whose mean varies with the image.
        types: counts of active, mixed and passive latents, by name; NaN where unknown.
        points: distinct held-out images that the geometry rests on.
        copies: held-out images equal to others, which were measured all the same.
        epoch: the last measured one.
        failed: sizes and seeds of models whose loss was not finite.
        fewest_latents: latents without which the data are known not to fit; 0 where it is unknown.
        not_read: sizes and seeds of models that are left out because others of their size or seed
            are.
    """

    sizes: Int[np.ndarray, " k"]
    seeds: tuple[int, ...]
    imbalance: Float[np.ndarray, "k s"]
    cost: Float[np.ndarray, "k s"]
    training_cost: Float[np.ndarray, "k s"]
    cost_stderr: Float[np.ndarray, "k s"]
    training_cost_stderr: Float[np.ndarray, "k s"]
    rate: Float[np.ndarray, "k s"]
    earlier_imbalance: Float[np.ndarray, "k s"]
    dimensions: dict[str, Float[np.ndarray, "k s"]]
    active_units: Float[np.ndarray, "k s"]
    types: dict[str, Float[np.ndarray, "k s"]]
    points: int
    copies: int
    epoch: int
    failed: tuple[tuple[int, int], ...]
    fewest_latents: int
    not_read: tuple[tuple[int, int], ...]

    @property
    def mean_imbalance(self) -> Float[np.ndarray, " k"]:
        """Delta(output -> input) of every size: the geometric mean over seeds."""
        return np.exp(np.log(self.imbalance).mean(axis=1))

    @property
    def has_few_images(self) -> bool:
        """Whether a factor that a size loses may change no neighbor among the images measured."""
        return self.points < _MANY_IMAGES

    @property
    def has_learned(self) -> bool:
        """Whether some size keeps neighbors at all: otherwise that none is better shows nothing."""
        keeps = float(self.imbalance.mean(axis=1).min()) < HARDLY_ANYTHING
        return keeps and float(self.active_units.mean(axis=1).max()) >= 1

    @property
    def obstacle(self) -> str:
        """Why no size can be shown to be enough, as a clause; empty where one can be."""
        if self.copies > _MOST_COPIES * (self.points + self.copies):
            return (
                f"{self.copies:,} of the {self.points + self.copies:,} held-out images measured "
                "are copies of others, which are neighbors whatever a model keeps"
            )
        if self.points < LEAST_IMAGES:
            return (
                f"only {self.points:,} distinct held-out images were measured, and at least "
                f"{LEAST_IMAGES} are needed"
            )
        if not self.has_learned:
            return (
                "the models have learned next to nothing, so that no size can be shown to be "
                "better than another"
            )
        return ""


def by_setting(records: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    """The records of a sweep for every combination of its other settings, with that in words.

    A sweep over sizes alone is one, without words; so are records of anything else.
    """
    size = _size_dimension(records)
    if size is None or "failed" not in records:
        return [("", records)]
    others = [str(name) for name in records["failed"].dims if name not in (size, "seed", "epoch")]
    return [
        (
            ", ".join(f"{name} {value}" for name, value in zip(others, values, strict=True)),
            records.sel(dict(zip(others, values, strict=True))),
        )
        for values in product(*(records[name].values.tolist() for name in others))
    ]


def read_records(records: xr.Dataset) -> SweepReading:
    """The reading of records whose dimensions are sizes, seeds, epochs and layers.

    Of runs that are missing or have failed the whole seed is left out, or the whole size:
    whichever leaves more models.

    Raises:
        ValueError: for records of anything else, and where no model is left.
    """
    dimension = _size_dimension(records)
    if dimension is None or "imbalance" not in records:
        raise ValueError(
            "expected records of a sweep over --latents with --points above 0, got dimensions "
            f"{', '.join(map(str, records.dims)) or 'none'} and variables "
            f"{', '.join(map(str, records.data_vars)) or 'none'}"
        )
    lacking = [name for name in _GEOMETRY if name not in records["layer"].values]
    if lacking:
        raise ValueError(
            f"expected models of one bottleneck, got records without the layer {lacking[0]}"
        )
    records = records.sortby(dimension)
    if "latent_layer" in records.dims:
        records = records.squeeze("latent_layer", drop=True)
    failed = records["failed"].any("epoch").transpose(dimension, "seed").values
    missing = records["missing"].transpose(dimension, "seed").values
    done = ~(failed | missing)
    kept, seeds = _rectangle(done)
    not_read = done.copy()
    not_read[np.ix_(kept, seeds)] = False
    some = records.isel({dimension: kept, "seed": seeds})
    sizes, names = records[dimension].values, records["seed"].values
    asked = int(records.attrs["points"])
    points = _distinct(some, asked)
    imbalance = some["imbalance"].sel(layer="output", other_layer="input")
    return SweepReading(
        sizes[kept].astype(int),
        tuple(int(seed) for seed in names[seeds]),
        _last(imbalance, dimension),
        _last(some["reconstruction"] + some["kl"], dimension),
        _last_of(some, "training_cost", dimension),
        _last_of(some, "cost_stderr", dimension),
        _last_of(some, "training_cost_stderr", dimension),
        _last(some["kl"], dimension),
        _earlier(imbalance, dimension),
        {name: _last(some["intrinsic_dimension"].sel(layer=name), dimension) for name in _GEOMETRY},
        _last(some["active_units"], dimension),
        {name.removesuffix("_latents"): _last_of(some, name, dimension) for name in _TYPES},
        points,
        asked - points,
        int(records["epoch"].values[-1]),
        _models(sizes, names, failed),
        int(records.attrs.get("fewest_latents", 0)),
        _models(sizes, names, not_read),
    )


def _models(
    sizes: np.ndarray, seeds: np.ndarray, chosen: np.ndarray
) -> tuple[tuple[int, int], ...]:
    """Size and seed of the models that a table of sizes and seeds chooses."""
    return tuple((int(sizes[i]), int(seeds[j])) for i, j in zip(*np.nonzero(chosen), strict=True))


def _distinct(records: xr.Dataset, points: int) -> int:
    """The distinct images among those measured; all of them where it was not recorded."""
    if "distinct_points" not in records:
        return points
    return int(records["distinct_points"].sel(layer="input").isel(epoch=-1).max())


def _rectangle(done: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest set of sizes times seeds of which all are done, the most common seeds first.

    One of two sizes or more, if there is one: with one size nothing can be compared.
    """
    order = np.argsort(-done.sum(axis=0), kind="stable")
    best: tuple[np.ndarray, np.ndarray] = (np.array([], int), np.array([], int))
    for count in range(1, len(order) + 1):
        seeds = np.sort(order[:count])
        kept = np.flatnonzero(done[:, seeds].all(axis=1))
        found = min(len(kept), 2), len(kept) * len(seeds)
        if found >= (min(len(best[0]), 2), len(best[0]) * len(best[1])):
            best = kept, seeds
    if len(best[0]) == 0:
        raise NoModelError(
            "expected a model that is done and did not fail, got none; where losses became NaN "
            "or infinite, try a smaller --learning-rate and another --out"
        )
    return best


def _last(values: xr.DataArray, dimension: str) -> np.ndarray:
    return values.isel(epoch=-1).transpose(dimension, "seed").values.astype(float)


def _last_of(records: xr.Dataset, name: str, dimension: str) -> np.ndarray:
    """The values of a variable at the last epoch; NaN where it was not recorded."""
    if name in records:
        return _last(records[name], dimension)
    return np.full((records.sizes[dimension], records.sizes["seed"]), np.nan)


def _earlier(values: xr.DataArray, dimension: str) -> np.ndarray:
    """The values at the measured epoch before the last; NaN if there is none or it is untrained."""
    epochs = values["epoch"].values
    if len(epochs) < 2 or epochs[-2] == 0:
        return np.full_like(_last(values, dimension), np.nan)
    return _last(values.isel(epoch=slice(None, -1)), dimension)


def _size_dimension(records: xr.Dataset) -> str | None:
    """The dimension of records along which the bottleneck grows, if they have one."""
    return next((name for name in _SIZES if name in records.dims), None)
