"""What the commands work on: a few images beside the user, and a saved run of nothing trained."""

from pathlib import Path

import jax
import numpy as np
import pytest

from jaxvae.data import load
from jaxvae.runs import checkpoint
from jaxvae.runs.building import build_model
from jaxvae.runs.config import RunConfig, write_config

CONFIG = RunConfig(
    image_size=16, train_size=200, network="dense_vae", options={"widths": [16]}, latents=3
)


@pytest.fixture(scope="session")
def saved_run(tmp_path_factory):
    """Snapshots at the steps 3 and 6, of other parameters."""
    folder = tmp_path_factory.mktemp("saved") / "run"
    write_config(folder / "run.json", CONFIG, image_shape=(16, 16, 1), per_epoch=3)
    init = jax.jit(build_model(CONFIG, (16, 16, 1)).init)
    for step in (3, 6):
        checkpoint.save(folder / "snapshots", step, init(jax.random.key(step)))
    return folder


@pytest.fixture(scope="module")
def own_images(tmp_path_factory):
    """`images.npy` beside the user: 225 images to train on and 25 held out, soon judged."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXVAE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.chdir(tmp_path_factory.mktemp("beside"))
        place = Path("images.npy").resolve()
        np.save(place, load("sprites", image_size=16, train_size=250, test_size=1).train.images)
        # How they are read is said once a process: before a command is refused in one line.
        load(str(place), image_size=16)
        yield place
