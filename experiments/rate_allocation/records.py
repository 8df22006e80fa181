"""All that is known of the runs of a grid, as one labelled data set."""

from pathlib import Path

import numpy as np
import xarray as xr

from experiments.rate_allocation.config import Config, GridModel, grid_models
from experiments.rate_allocation.measuring import KINDS, SCORES
from experiments.rate_allocation.protocol import CLASSIFIERS, PROTOCOL
from experiments.rate_allocation.uses import GRID, MODELS, cell_name, corners, is_done
from jaxvae.analysis import excess_costs, suspect_cells
from jaxvae.files.numpy_files import read_members
from jaxvae.models.stochastic_layers import layer_names
from jaxvae.runs.sweep_run import run_file
from jaxvae.sweeps.records import Arrays, over_runs

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
}
# All that is merged, over the grid, with errors where there are any.
_QUANTITIES = {
    each: dimensions
    for name, dimensions in {
        "missing": (),
        **{name: ("epoch", *inner) for name, inner in _BY_EPOCH.items()},
        **_AT_LAST,
    }.items()
    for each in (name, f"{name}_stderr")
}
# These are the same for all cells. Images are merged of those cells alone that are drawn.
_OF_JUDGE = ("judge_accuracy", "judge_accuracy_stderr")
_SHARED = ("epoch", "size", "label_shares", *_OF_JUDGE)
_EXAMPLES = ("example_reconstruction", "example_sample")


def gather(config: Config, out: Path, *, begin: str = "") -> xr.Dataset | None:
    """The records of all cells as one labelled data set.

    What has failed or is not done has NaN; `missing` tells which cells are not done.

    Args:
        config: configuration of the grid.
        out: its folder.
        begin: beginning of the names of its runs.

    Returns:
        The data set; None where no cell is done that has not failed.
    """
    names = [f"{begin}{model.name}" for model in grid_models(config)]
    arrays = over_runs(out, names, [*_QUANTITIES, *_SHARED])
    if not arrays:
        return None
    arrays["missing"] = np.asarray(~arrays["epoch"].any(axis=1))
    usable = np.flatnonzero(~arrays["missing"] & ~arrays["failed"][:, -1])
    if not usable.size:
        return None
    shared = {name: arrays[name][usable[0]] for name in _SHARED}
    return _with_examples(_with_order(_labelled(config, arrays, shared)), out, begin)


def _labelled(config: Config, arrays: Arrays, shared: Arrays) -> xr.Dataset:
    """The arrays of all runs, `[runs, ...]`, and those that runs share, as labelled quantities."""
    shape = len(config.beta_top), len(config.beta_bottom), len(config.seeds)
    sizes = shared["size"][-1]
    return xr.Dataset(
        {
            name: ((*MODELS, *inner), arrays[name].reshape(*shape, *arrays[name].shape[1:]))
            for name, inner in _QUANTITIES.items()
            if name in arrays
        },
        coords={
            "beta_top": list(config.beta_top),
            "beta_bottom": list(config.beta_bottom),
            "seed": list(config.seeds),
            "epoch": list(config.measured_epochs),
            "layer": layer_names(len(sizes)),
            "kind": list(KINDS),
            "classifier": list(CLASSIFIERS),
        },
        attrs=_attributes(config) | {name: float(shared[name]) for name in _OF_JUDGE},
    ).assign(size=("layer", sizes), label_shares=("label", shared["label_shares"]))


def _with_order(records: xr.Dataset) -> xr.Dataset:
    """Adds which cells are suspect beside others of their seed, and their excess of the loss."""
    betas = np.array(
        [
            GridModel(top, bottom, 0).betas(records.sizes["layer"])
            for top in records["beta_top"].values
            for bottom in records["beta_bottom"].values
        ]
    )
    seeds = [
        _listed(records.isel(seed=index), "image_rates", "image_distortion")
        for index in range(records.sizes["seed"])
    ]
    suspect, excess = (
        [ask(betas, *of_seed) for of_seed in seeds] for ask in (suspect_cells, excess_costs)
    )
    shape = [records.sizes[name] for name in MODELS]
    return records.assign(
        suspect=(MODELS, np.stack(suspect, axis=1).reshape(shape)),
        excess_cost=(MODELS, np.stack(excess, axis=1).reshape(shape)),
    )


def _listed(records: xr.Dataset, *names: str) -> list[np.ndarray]:
    """Quantities of the cells of a seed, `[m, ...]`, in the order of `grid_models`."""
    wide = [records[name].transpose(*GRID, ...).values for name in names]
    return [values.reshape(-1, *values.shape[2:]) for values in wide]


def _with_examples(records: xr.Dataset, out: Path, begin: str) -> xr.Dataset:
    """Adds pictures of the corners of the grid, or of the first cell where no corner is done."""
    done = is_done(records).stack(cell=MODELS)
    every = [
        GridModel(float(top), float(bottom), int(seed))
        for top, bottom, seed in done["cell"].values[done.values]
    ]
    firsts = {model[:2]: model for model in reversed(every)}
    chosen = [firsts[betas] for betas in corners(records) if betas in firsts] or every[:1]
    files = [run_file(out, f"{begin}{model.name}") for model in chosen]
    examples = [read_members(file, (*_EXAMPLES, "example_input")) for file in files]
    pictures = {name: np.stack([each[name] for each in examples]) for name in _EXAMPLES}
    variables = {name: (("corner", "example", *_PIXELS), each) for name, each in pictures.items()}
    inputs = ("example", *_PIXELS), examples[0]["example_input"]
    labels = [cell_name(model[:2]) for model in chosen]
    return records.assign(variables).assign(example_input=inputs).assign_coords(corner=labels)


def _attributes(config: Config) -> dict[str, str | int | float]:
    return {
        "data": config.data,
        "binarized": int(config.binarize),
        "network": config.network,
        "likelihood": config.likelihood,
        **({} if config.train_size is None else {"train_size": config.train_size}),
        "points": config.points,
        "labeled": config.labeled,
        "units": "distortion, rates, information, costs: nats per image; psnr: dB. Those of every "
        "epoch are over the whole test split, those of the last alone, and of shuffled layers, "
        "over the first points of it",
        "top_information_limit": float(np.log(config.points)),
    }
