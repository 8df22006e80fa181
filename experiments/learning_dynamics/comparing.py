"""Similarities between the layers of a model, and between models."""

from pathlib import Path

import jax
import numpy as np
from rich.console import Console

from experiments.learning_dynamics.grid import NOISE, Config, Place, points_of
from experiments.learning_dynamics.networks import vae_of
from experiments.learning_dynamics.records import (
    REPLICATE,
    between_file,
    has_similarities,
    kept_models,
    similarity_file,
)
from experiments.records import read_arrays, write_arrays
from jaxvae.analysis import capture
from jaxvae.analysis.dynamics import similarities, similarities_between
from jaxvae.data import Dataset
from jaxvae.models import VAE
from jaxvae.report import sweep_progress
from jaxvae.report.progress import SweepProgress
from jaxvae.runs import checkpoint
from jaxvae.runs.run import SNAPSHOTS


def compare_models(
    config: Config, place: Place, folder: Path, dataset: Dataset, console: Console
) -> None:
    """Similarities within every model, and between all models at the end."""
    images = dataset.test.images[: config.points]
    vae = vae_of(config, place, images.shape[1:])
    group = kept_models(config, folder)
    if not group:
        raise ValueError(
            f"expected a model that was trained to the end, got no model of {place.data}, "
            f"{place.network}: all losses became NaN or infinite; try a smaller --learning-rate"
        )
    with sweep_progress(console, runs=len(group) + 1, unit="comparisons") as progress:
        for model in group:
            if not has_similarities(config, folder, model):
                progress.start(f"comparing {model.name}", 1)
                found = _within(config, vae, folder / model.name, images, model.seed)
                write_arrays(similarity_file(folder / model.name), found)
            progress.finish(f"{model.name}: layers and epochs compared")
        progress.start("comparing models", 1)
        found = _between(config, vae, [folder / model.name for model in group], images, progress)
        names = np.array([model.name for model in group])
        write_arrays(between_file(folder), {"model": names, **found})
        progress.finish(f"{place.data}, {place.network}: {len(group)} models compared")


def _within(
    config: Config, vae: VAE, folder: Path, images: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """Similarities of a model: between its layers and epochs, to its replicate, and their nulls.

    By name `[epoch, layer, epoch, layer]`, and `[layer]` for every layer at the end with that
    of the replicate, and with itself in another order of the examples: nothing in common.
    """
    taps = [_taps(vae, folder / SNAPSHOTS, epoch, images) for epoch in config.measured]
    spaces = [space for epoch in taps for space in epoch.values()]
    points = points_of(config, seed)
    shape = (len(taps), len(taps[0]))
    found = {
        name: matrix.reshape(*shape, *shape)
        for name, matrix in similarities(spaces, points=points).items()
    }
    replicate = _taps(vae, folder / REPLICATE, config.epochs, images)
    order = np.random.default_rng(0).permutation(config.points)
    for name, n in points.items():
        shuffled = np.argsort(order[:n])
        rows = [
            similarities([end[:n], replicate[layer][:n], end[:n][shuffled]], points={name: n})[name]
            for layer, end in taps[-1].items()
        ]
        found[f"{name}_replicate"], found[f"{name}_null"] = np.array(rows)[:, 0, 1:].T
    return {"layer": np.array(list(taps[0])), **found}


def _between(
    config: Config,
    vae: VAE,
    folders: list[Path],
    images: np.ndarray,
    progress: SweepProgress,
) -> dict[str, np.ndarray]:
    """Similarities `[layer, model, model]` between the last snapshots."""
    layers = read_arrays(similarity_file(folders[0]))["layer"].tolist()
    matrices = []
    for layer in layers:
        progress.note(f"{layer} of {len(folders)} models")

        def load_layer(index: int, layer: str = layer) -> np.ndarray:
            return _taps(vae, folders[index] / SNAPSHOTS, config.epochs, images, [layer])[layer]

        matrices.append(similarities_between(load_layer, len(folders), points=points_of(config, 0)))
    return {name: np.stack([matrix[name] for matrix in matrices]) for name in matrices[0]}


def _taps(
    vae: VAE, folder: Path, epoch: int, images: np.ndarray, layers: list[str] | None = None
) -> dict[str, np.ndarray]:
    like = jax.eval_shape(vae.init, jax.random.key(0))
    variables = checkpoint.load(folder, epoch, like)
    return capture(vae, variables, images, key=jax.random.key(NOISE), layers=layers)
