"""A saved run, opened."""

import jax
import numpy as np
import pytest

from jaxvae.analysis.saved import open_run
from jaxvae.training import checkpoint
from jaxvae.training.config import RunConfig, build_model, write_config

CONFIG = RunConfig(
    network="convolutional_vae",
    options={"widths": (4, 8)},
    latents=3,
    likelihood="learned_gaussian",
    objective="annealed_vae",
    coefficients={"capacity": 3.0},
    ramps={"capacity": 100},
)
SHAPE = (8, 12, 3)


@pytest.fixture(scope="module")
def variables():
    init = jax.jit(build_model(CONFIG, SHAPE).init)
    return {step: init(jax.random.key(step)) for step in (10, 9)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, variables):
    place = tmp_path_factory.mktemp("saved") / "run"
    write_config(place / "run.json", CONFIG, image_shape=SHAPE)
    for step, tree in variables.items():
        checkpoint.save(place / "snapshots", step, tree)
    return place


@pytest.mark.parametrize(("asked", "step"), [(None, 10), (9, 9)])
def test_a_run_opens_as_it_was_saved(folder, variables, asked, step):
    run = open_run(folder, asked)
    assert (run.step, run.steps) == (step, (9, 10))
    assert run.vae.image_shape == SHAPE
    assert (run.config.objective, run.config.ramps) == ("annealed_vae", {"capacity": 100})
    jax.tree.map(np.testing.assert_array_equal, run.variables, variables[step])


def test_the_model_of_an_opened_run_decodes(folder):
    run = open_run(folder)
    images = jax.jit(run.vae.decode)(run.variables, np.zeros((2, 3), np.float32))
    assert images.shape == (2, *SHAPE)


def test_a_snapshot_that_is_not_there_is_refused_with_those_that_are(folder):
    with pytest.raises(ValueError, match=r"snapshots, found 9, 10, asked for 11"):
        open_run(folder, 11)


def test_a_run_without_snapshots_is_refused(tmp_path):
    write_config(tmp_path / "run.json", CONFIG, image_shape=SHAPE)
    with pytest.raises(ValueError, match=r"expected a snapshot in .* found none"):
        open_run(tmp_path)


def test_a_folder_that_holds_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected a run in .*run\.json, found none"):
        open_run(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "3", "[]", "{}", '{"image_shape": [1]}', '{"image_shape": [1, 2, 3], "x": 1}']
)
def test_settings_that_are_none_are_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"expected the settings of a run in .*run\.json"):
        open_run(tmp_path)
