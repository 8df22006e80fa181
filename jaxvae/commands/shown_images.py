"""The images that a saved run is shown."""

import argparse
import dataclasses

from jaxtyping import UInt8

from jaxvae.data import Dataset
from jaxvae.data.reading import say
from jaxvae.runs.images import dataset_of, have_changed
from jaxvae.runs.saved import SavedRun, stored_settings_of
from jaxvae.typing import ArrayLike

_CHANGED = (
    "has changed since this run was trained: some of the images that are held out now may have "
    "been trained on"
)


def chosen_images(
    run: SavedRun, arguments: argparse.Namespace
) -> tuple[UInt8[ArrayLike, "n h w c"], str]:
    """The images that were asked for, and what they are, such as "held-out images of mnist".

    They have the size of those of the run, and are black and white as they are.

    Raises:
        ValueError: for a data set that there is not, fewer images than asked for, and
            images of another shape than the model takes.
    """
    dataset, changed = _dataset(run, arguments), ""
    if have_changed(stored_settings_of(run), dataset):
        say(f"warning: {dataset.name} {_CHANGED}")
        changed = f" (which {_CHANGED})"
    held_out = arguments.split == "test"
    images = (dataset.test if held_out else dataset.train).images
    if images.shape[1:] != run.vae.image_shape:
        expected, got = (" x ".join(map(str, s)) for s in (run.vae.image_shape, images.shape[1:]))
        raise ValueError(f"expected images of {expected}, got {got} of {dataset.name}")
    count = len(images) if arguments.examples is None else arguments.examples
    if not 1 <= count <= len(images):
        raise ValueError(f"expected --examples from 1 to {len(images)}, got {count}")
    kind = "held-out images" if held_out else "training images"
    return images[:count], f"{kind} of {dataset.name}{changed}"


def _dataset(run: SavedRun, arguments: argparse.Namespace) -> Dataset:
    config, height = run.config, run.vae.image_shape[0]
    own = arguments.data in (None, config.data)
    shown = dataclasses.replace(
        config,
        data=arguments.data or config.data,
        image_size=config.image_size if own else height,
        image_key=config.image_key if own else None,
        split=config.split if own else None,
        value_range=config.value_range if own else None,
        # The other split is neither needed nor changed by it.
        train_size=1 if arguments.split == "test" else config.train_size if own else None,
    )
    return dataset_of(shown)
