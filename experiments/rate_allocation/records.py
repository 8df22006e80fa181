"""What is known of every cell, and all of it as one labelled data set."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from experiments.rate_allocation.config import Cell, Config, cells
from experiments.rate_allocation.measuring import CLASSIFIERS, KINDS, SCORES
from experiments.rate_allocation.protocol import PROTOCOL
from experiments.records import is_written, read_arrays, record_file, unrecorded
from jaxvae.analysis import excess_costs, suspect_cells
from jaxvae.models.hvae import layer_names

Arrays = dict[str, np.ndarray]

JUDGE = "judge.npz"

_GRID = ("beta_top", "beta_bottom", "seed")
_PIXELS = ("height", "width", "channel")
# What is recorded at every epoch and at the last, with the dimensions that it has of its own.
_BY_EPOCH: dict[str, tuple[str, ...]] = {
    "failed": (),
    "warnings": (),
    "active_units": ("layer",),
    **dict.fromkeys(
        ("distortion", "mean_distortion", "psnr", "mean_psnr", "bits_per_dimension"), ()
    ),
    **dict.fromkeys(
        ("rates", "information_bounds", "shuffle_distortion", "shuffle_cost"), ("layer",)
    ),
}
_AT_LAST: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(SCORES, ()),
    **dict.fromkeys(("top_information", "top_mismatch", "top_label_information"), ()),
    "accuracy": ("layer", "kind", "classifier"),
    **dict.fromkeys(("accuracy_bound", "known_information"), ("layer",)),
    "top_accuracy_bound": (),
    "converged": ("layer", "kind", "classifier"),
    # By which cells are compared, image by image.
    **dict.fromkeys(("image_distortion", "image_squared_error"), ("image",)),
    "image_rates": ("image", "layer"),
    "image_right": ("layer", "classifier", "image"),
    "generated_information": ("generated",),
    "input_dimension": (),
    **dict.fromkeys(
        ("intrinsic_dimension", "imbalance_to_input", "imbalance_from_input"), ("layer", "kind")
    ),
    **PROTOCOL,
    "example_reconstruction": ("example", *_PIXELS),
    "example_sample": ("example", *_PIXELS),
}


def gather(config: Config, out: Path) -> xr.Dataset:
    """The records of all cells as one labelled data set; NaN for what has failed."""
    costs = {cell: _over_epochs(config, cell_folder(out, cell)) for cell in cells(config)}
    uses = {
        cell: read_arrays(uses_file(cell_folder(out, cell)))
        for cell, found in costs.items()
        if not found["failed"][-1]
    }
    if not uses:
        raise ValueError(
            "expected a cell that did not fail, got none: losses became NaN or infinite; try a "
            "smaller --learning-rate and another --out"
        )
    first, one = next(iter(uses.items()))
    sizes = costs[first]["size"][-1]
    records = xr.Dataset(
        {
            **_variables(config, costs, _BY_EPOCH, "epoch"),
            **_variables(config, uses, _AT_LAST),
        },
        coords={
            "beta_top": list(config.beta_top),
            "beta_bottom": list(config.beta_bottom),
            "seed": range(config.seeds),
            "epoch": list(config.measured_epochs),
            "layer": layer_names(len(sizes)),
            "kind": list(KINDS),
            "classifier": list(CLASSIFIERS),
        },
        attrs=_attributes(config, out),
    )
    # Cells are compared with those of their seed.
    seeds = [
        (_prices(config, seed, len(sizes)), records.isel(seed=seed)) for seed in range(config.seeds)
    ]
    suspects = [
        suspect_cells(prices, *_listed(here, "image_rates", "image_distortion"))
        for prices, here in seeds
    ]
    excess = [
        excess_costs(prices, *_listed(here.isel(epoch=-1), "rates", "distortion"))
        for prices, here in seeds
    ]
    return records.assign(
        size=("layer", sizes),
        label_shares=("label", one["label_shares"]),
        example_input=(("example", *_PIXELS), one["example_input"]),
        suspect=(_GRID, _on_grid(config, np.concatenate(suspects))),
        excess_cost=(_GRID, _on_grid(config, np.concatenate(excess))),
    )


def _over_epochs(config: Config, folder: Path) -> Arrays:
    """The costs of a cell, `[epoch, ...]`."""
    found = [read_arrays(record_file(folder, epoch)) for epoch in config.measured_epochs]
    return {name: np.array([epoch[name] for epoch in found]) for name in found[0]}


def _variables(
    config: Config,
    found: Mapping[Cell, Arrays],
    dimensions: Mapping[str, tuple[str, ...]],
    *outer: str,
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Every quantity as an array over the grid, with its error where it has one."""
    recorded = next(iter(found.values()))
    return {
        each: ((*_GRID, *outer, *inner), _over_grid(config, found, each))
        for name, inner in dimensions.items()
        for each in (name, f"{name}_stderr")
        if each in recorded
    }


def _over_grid(config: Config, found: Mapping[Cell, Arrays], name: str) -> np.ndarray:
    like = next(iter(found.values()))[name]
    missing = np.full(like.shape, np.nan) if like.dtype.kind == "f" else np.zeros_like(like)
    values = [found[cell][name] if cell in found else missing for cell in cells(config)]
    return _on_grid(config, np.stack(values))


def _prices(config: Config, seed: int, layers: int) -> np.ndarray:
    """Of all cells of a seed and all layers."""
    return np.array([cell.prices(layers) for cell in cells(config) if cell.seed == seed])


def _listed(records: xr.Dataset, *names: str) -> list[np.ndarray]:
    """Quantities of the cells of a seed, `[m, ...]`, in the order of `cells`."""
    wide = [records[name].transpose(*_GRID[:2], ...).values for name in names]
    return [values.reshape(-1, *values.shape[2:]) for values in wide]


def _on_grid(config: Config, values: np.ndarray) -> np.ndarray:
    """Values of all cells, listed by seed, then by the price at the top, over the grid."""
    shape = config.seeds, len(config.beta_top), len(config.beta_bottom)
    return np.moveaxis(values.reshape(*shape, *values.shape[1:]), 0, 2)


def _attributes(config: Config, out: Path) -> dict[str, str | int | float]:
    judge = read_arrays(out / JUDGE)
    return {
        "data": config.data,
        "binarized": int(config.binarize),
        "network": config.network,
        "likelihood": config.likelihood,
        "train_size": config.train_size or 0,
        "points": config.points,
        "labeled": config.labeled,
        "judge_accuracy": float(judge["accuracy"]),
        "judge_accuracy_stderr": float(judge["accuracy_stderr"]),
        "units": "distortion, rates, information, costs: nats per image; psnr: dB. Those of every "
        "epoch are over the whole test split, those of the last alone, and of shuffled layers, "
        "over the first points of it",
        "top_information_limit": float(np.log(config.points)),
    }


def refuse_earlier_records(config: Config, out: Path) -> None:
    """Refuse a folder whose cells were measured before single images were recorded.

    Raises:
        ValueError: for such a folder; nothing in it is changed.
    """
    files = [uses_file(cell_folder(out, cell)) for cell in cells(config)]
    old = [file for file in files if is_written(file) and "image_right" not in read_arrays(file)]
    if old:
        raise ValueError(
            f"expected records of single images, by which cells are compared, got those of an "
            f"earlier version of jaxvae in {len(old)} of {len(files)} cells: give another --out, "
            f"or remove {out / 'cells' / '*' / old[0].name}, and the same command measures anew"
        )


def unfinished_cells(config: Config, out: Path) -> list[Cell]:
    """Those that lack a record."""
    return [cell for cell in cells(config) if missing_epochs(config, out, cell)]


def missing_epochs(config: Config, out: Path, cell: Cell) -> list[int]:
    """The epochs without a record."""
    folder, last = cell_folder(out, cell), config.epochs
    lacking = unrecorded(folder, config.measured_epochs, [*_BY_EPOCH, "size"])
    if last in lacking or is_written(uses_file(folder), [*_AT_LAST, "label_shares"]):
        return lacking
    return lacking if read_arrays(record_file(folder, last))["failed"] else [*lacking, last]


def cell_folder(out: Path, cell: Cell) -> Path:
    """Where its records and snapshots are."""
    return out / "cells" / cell.name


def uses_file(folder: Path) -> Path:
    """What a cell is good for, at the last epoch."""
    return folder / "uses.npz"
