"""A saved run as any experiment may leave it: run.json and snapshots, nothing trained."""

import jax
import pytest

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
