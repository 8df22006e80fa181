"""Measurements of a model: rates, similarities between its layers and to those of other models."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.learning_dynamics.config import NOISE, Config, DataAndNetwork, points_of
from jaxvae.analysis import capture, evaluate
from jaxvae.analysis.dynamics import similarities, similarities_between
from jaxvae.data import Dataset
from jaxvae.data.distinct import first_distinct
from jaxvae.files.numpy_files import read_members
from jaxvae.memory import available_memory
from jaxvae.models import HVAE, VAE, Variables
from jaxvae.runs.choices import is_foreign
from jaxvae.runs.images import dataset_of
from jaxvae.runs.sweep_run import open_sweep_run, run_file
from jaxvae.sweeps.estimate import layer_features
from jaxvae.sweeps.sweep import Trained

BETWEEN = "debiased_cka"
"""The similarity between models."""
# The share of the memory that layers of models are held in while they are compared.
_SHARE = 0.25


def measure(config: Config, trained: Trained) -> tuple[dict[str, Any], dict[str, Any]]:
    """The measurements of a model that are recorded at every epoch, and at the last one alone.

    Rates are of held-out images; a model that has failed has no similarities.
    """
    vae = vae_of(trained.model, trained.config.network)
    images = measured_images(config, trained.dataset)
    evaluation = evaluate(vae, trained.variables, images, key=jax.random.key(NOISE))
    failed = trained.stopped or not evaluation.is_finite
    kinds = evaluation.latent_types[0]._asdict()
    every = {
        "reconstruction": evaluation.distortion.value,
        "kl": np.sum(evaluation.rates.value),
        "kl_per_latent": evaluation.number_rates[0],
        "active_units": evaluation.active_units[0],
        **{f"{kind}_latents": np.sum(mask) for kind, mask in kinds.items()},
        "failed": failed,
    }
    return every, _within(config, vae, trained, images) if trained.is_last and not failed else {}


def measured_images(config: Config, dataset: Dataset) -> np.ndarray:
    """The held-out images that layers are compared on: the first that are distinct."""
    images = dataset.test.images
    return images[first_distinct(images, config.points)]


def vae_of(model: VAE | HVAE, network: str) -> VAE:
    """The model, if it has one bottleneck.

    Raises:
        ValueError: for a hierarchy.
    """
    if isinstance(model, HVAE):
        raise ValueError(f"expected networks of one bottleneck, got {network}, a hierarchy")
    return model


def _within(
    config: Config, vae: VAE, trained: Trained, images: np.ndarray
) -> dict[str, np.ndarray]:
    """Similarities of a model: between its layers and epochs, to its replicate, and their nulls.

    The similarities of a name are `[epoch, layer, epoch, layer]`. NAME_replicate, `[layer]`, is
    that of every layer at the end with the same layer of the replicate; NAME_null, `[layer]`, is
    that with itself in another order of the examples, where nothing is in common.
    """
    taps = [_taps(vae, trained.at(epoch), images) for epoch in config.measured]
    spaces = [space for epoch in taps for space in epoch.values()]
    points = points_of(config, trained.config.seed)
    shape = (len(taps), len(taps[0]))
    measured = {
        name: matrix.reshape(*shape, *shape)
        for name, matrix in similarities(spaces, points=points).items()
    }
    replicate = _taps(vae, trained.replicate(), images)
    order = np.random.default_rng(0).permutation(config.points)
    for name, n in points.items():
        shuffled = np.argsort(order[:n])
        rows = [
            similarities([end[:n], replicate[layer][:n], end[:n][shuffled]], points={name: n})[name]
            for layer, end in taps[-1].items()
        ]
        measured[f"{name}_replicate"], measured[f"{name}_null"] = np.array(rows)[:, 0, 1:].T
    return {"layer": np.array(list(taps[0])), **measured}


def between_file(out: Path, group: DataAndNetwork) -> Path:
    """The file of the similarity between the models of a data set and network."""
    return out / "between" / f"{group.name}.npz"


def between_models(
    config: Config, out: Path, names: Sequence[str], note: Callable[[str], None]
) -> dict[str, np.ndarray]:
    """Debiased CKA `[layer, model, model]` at the end, between the runs that did not fail.

    Args:
        config: configuration of the experiment.
        out: its folder.
        names: names of the runs, all of one data set and network.
        note: function that shows what is being compared.
    """
    trained = [name for name in names if read_members(run_file(out, name), ["layer"])]
    if not trained:
        return {"model": np.array(trained, str)}
    # Whoever gave the command has named their code.
    load = cache(partial(open_sweep_run, out, trust=any(map(is_foreign, config.networks))))
    first = load(trained[0])
    images = measured_images(config, dataset_of(first.config))

    def layers(index: int) -> dict[str, np.ndarray]:
        return _taps(first.model, load(trained[index]).variables, images)

    of_one = 4 * len(images) * sum(layer_features(first.model))
    block = max(1, int(_SHARE * available_memory() / of_one / 2))
    matrices = similarities_between(
        layers, len(trained), points={BETWEEN: config.points}, block=block, note=note
    )
    return {
        "model": np.array(trained),
        BETWEEN: np.stack([each[BETWEEN] for each in matrices.values()]),
    }


def _taps(vae: VAE | HVAE, variables: Variables, images: np.ndarray) -> dict[str, np.ndarray]:
    return capture(vae, variables, images, key=jax.random.key(NOISE))
