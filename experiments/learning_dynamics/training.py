"""Models of one objective, trained together and recorded."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.groups import train_group
from experiments.learning_dynamics.grid import NOISE, Config, Place, models
from experiments.learning_dynamics.networks import coefficients_of, run_config, vae_of
from experiments.learning_dynamics.records import (
    REPLICATE,
    has_failed,
    lacks_replicate,
    missing_epochs,
    recorded,
)
from experiments.records import record_file, write_arrays
from jaxvae.analysis import evaluate
from jaxvae.data import Dataset
from jaxvae.models import VAE, Variables
from jaxvae.report.progress import SweepProgress
from jaxvae.runs import checkpoint
from jaxvae.runs.config import build_trainer, write_config
from jaxvae.runs.run import SETTINGS, SNAPSHOTS
from jaxvae.training import Member, TrainState, replicated_ensemble, steps_per_epoch


def train_objective(
    config: Config,
    place: Place,
    objective: str,
    *,
    folder: Path,
    dataset: Dataset,
    progress: SweepProgress,
) -> None:
    """All strengths and seeds of an objective in one program, the last epoch of each twice.

    The second time with other batches and noise: what it differs by is no learning.
    """
    images = jnp.asarray(dataset.train.images)
    test_images = dataset.test.images[: config.points]
    height, width, channels = test_images.shape[1:]
    image_shape = (height, width, channels)
    per_epoch = steps_per_epoch(images, config.batch_size)
    group = [model for model in models(config) if model.objective == objective]
    runs = [run_config(config, place, m, config.epochs * per_epoch) for m in group]
    for model, settings in zip(group, runs, strict=True):
        write_config(folder / model.name / SETTINGS, settings, image_shape=image_shape)
    vae = vae_of(config, place, image_shape)
    trainer = build_trainer(runs[0], vae, dataset_size=len(images))
    members = [
        Member(jax.random.key(model.seed), vae.latents, coefficients_of(model)) for model in group
    ]

    progress.start(f"{place.network}, {objective}", config.epochs * per_epoch)
    train = partial(
        train_group,
        lambda latents: trainer,
        members,
        images,
        batch_size=config.batch_size,
        progress=progress,
    )

    def record(index: int, epoch: int, state: TrainState) -> None:
        if epoch in config.measured:
            _record(vae, state.variables, test_images, folder / group[index].name, epoch)

    def record_replicate(index: int, epoch: int, state: TrainState) -> None:
        checkpoint.save(folder / group[index].name / REPLICATE, epoch, state.variables)

    resume, last = folder / f"{objective}.resume", config.epochs
    if lacks_replicate(config, folder, group):
        # First, since the state before the last epoch is kept only until the next one.
        early = {epoch for epoch in missing_epochs(config, folder, group) if epoch < last}
        before = train(epochs=sorted(early | {last - 1}), record=record, resume=resume)
        train(
            epochs=[last],
            record=record_replicate,
            resume=folder / f"{objective}.{REPLICATE}",
            start=replicated_ensemble(before),
        )
    missing = sorted(missing_epochs(config, folder, group))
    if missing:
        train(epochs=missing, record=record, resume=resume)
    failed = sum(has_failed(recorded(config, folder / model.name)) for model in group)
    progress.finish(
        f"{place.data}, {place.network}, {objective}: {len(group) - failed} models trained"
        + (f", {failed} failed" if failed else "")
    )


def _record(vae: VAE, variables: Variables, images: np.ndarray, folder: Path, epoch: int) -> None:
    """Save what one model has learned, and how well it does on held-out images."""
    evaluation = evaluate(vae, variables, images, key=jax.random.key(NOISE))
    checkpoint.save(folder / SNAPSHOTS, epoch, variables)
    record = {
        "reconstruction": np.asarray(evaluation.reconstruction),
        "kl": np.asarray(evaluation.kl),
        "kl_per_latent": np.asarray(evaluation.kl_per_latent),
        "active_units": np.asarray(evaluation.active_units),
        **{
            f"{kind}_latents": np.sum(mask)
            for kind, mask in evaluation.latent_types._asdict().items()
        },
    }
    write_arrays(record_file(folder, epoch), record)
