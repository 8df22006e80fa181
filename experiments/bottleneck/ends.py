"""What is known of the models at their end: dimension over scales, and how they differ."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from experiments.bottleneck.config import Run
from experiments.bottleneck.measuring import SPACES, dimension_scale
from jaxvae.metrics import imbalance_matrix

_RUN = ("bottleneck", "seed")
_OTHER_RUN = ("other_bottleneck", "other_seed")
_SCALES = ("scale_dimension", "scale_dimension_stderr", "scale_radius")
# What is read of the end of a run.
AT_END = ("far_neighbor", *_SCALES, *SPACES)


def with_ends(records: xr.Dataset, ends: Mapping[Run, Mapping[str, np.ndarray]]) -> xr.Dataset:
    """Adds what `measure_end` gave, and the imbalance between all models.

    `scale_dimension` has dimensions `bottleneck, seed, layer, far_neighbor`, the last being
    the rank of the farther one of the two neighbors that are compared.
    `imbalance_between` has `space, bottleneck, seed, other_bottleneck, other_seed`: Delta from
    the latents of a model to those of another, both of the same images.

    Args:
        records: of the sweep.
        ends: of the runs that have not failed; without any, nothing is added.
    """
    if not ends:
        return records
    ranks = next(iter(ends.values()))["far_neighbor"]
    sizes, seeds = (records[name].values for name in _RUN)
    coords = {"far_neighbor": ranks, "space": list(SPACES)}
    coords |= dict(zip(_OTHER_RUN, (sizes, seeds), strict=True))
    scales: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        name: ((*_RUN, "layer", "far_neighbor"), _over_runs(records, ends, name))
        for name in _SCALES
    }
    between = np.stack([_between(records, ends, space) for space in SPACES])
    added = {
        "imbalance_between": (("space", *_RUN, *_OTHER_RUN), between),
        "scale_dimension_null": (("bottleneck", "far_neighbor"), _null(records)),
    }
    return records.assign_coords(coords).assign(scales | added)


def _runs(records: xr.Dataset) -> list[Run]:
    return [
        Run(int(size), int(seed))
        for size in records["bottleneck"].values
        for seed in records["seed"].values
    ]


def _over_runs(
    records: xr.Dataset, ends: Mapping[Run, Mapping[str, np.ndarray]], name: str
) -> np.ndarray:
    unknown = np.full_like(next(iter(ends.values()))[name], np.nan)
    values = np.stack([ends[run][name] if run in ends else unknown for run in _runs(records)])
    return values.reshape(*(records.sizes[name] for name in _RUN), *unknown.shape)


def _between(
    records: xr.Dataset, ends: Mapping[Run, Mapping[str, np.ndarray]], space: str
) -> np.ndarray:
    """`[k, s, k, s]`, Delta between all models in a space; NaN for one that has failed."""
    every = _runs(records)
    present = [place for place, run in enumerate(every) if run in ends]
    found = np.full((len(every), len(every)), np.nan)
    widest = int(records["bottleneck"].max())
    spaces = [_widened(ends[every[place]][space], widest) for place in present]
    found[np.ix_(present, present)] = imbalance_matrix(spaces)
    shape = tuple(records.sizes[name] for name in _RUN)
    return found.reshape(*shape, *shape)


def _null(records: xr.Dataset) -> np.ndarray:
    """Of one Gaussian of as many points and K dimensions."""
    n, sizes = records.attrs["points"], records["bottleneck"].values
    random = np.random.default_rng(0)
    clouds = [_widened(random.standard_normal((n, k), np.float32), max(sizes)) for k in sizes]
    return np.stack([dimension_scale(cloud).values for cloud in clouds])


def _widened(cloud: np.ndarray, width: int) -> np.ndarray:
    """With columns of zeros, which change no distance: one program for all sizes."""
    return np.pad(cloud, ((0, 0), (0, width - cloud.shape[1])))
