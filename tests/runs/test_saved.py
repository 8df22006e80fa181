"""A saved run, opened."""

import json
import shutil

import jax
import numpy as np
import pytest

from jaxvae.runs import checkpoint
from jaxvae.runs.building import build_model
from jaxvae.runs.config import RunConfig, write_config
from jaxvae.runs.saved import open_run

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
    write_config(place / "run.json", CONFIG, image_shape=SHAPE, per_epoch=4)
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
    with pytest.raises(ValueError, match=r"snapshots, found that of step 9, 10, asked for step 11"):
        open_run(folder, 11)


def test_a_run_without_snapshots_is_refused(tmp_path):
    write_config(tmp_path / "run.json", CONFIG, image_shape=SHAPE, per_epoch=4)
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
    with pytest.raises(ValueError, match=r"expected (the )?settings .*in .*run\.json"):
        open_run(tmp_path)


FOREIGN = {
    "network": {"network": "os:system"},
    "likelihood": {"likelihood": "os:system", "likelihood_options": {"command": "touch run"}},
    "objective": {"objective": "evil:objective"},
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_code_that_a_folder_names_does_not_run(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('run', 'w')\n")
    write_config(tmp_path / "run.json", CONFIG, image_shape=SHAPE, per_epoch=4)
    settings = json.loads((tmp_path / "run.json").read_text()) | FOREIGN[kind]
    (tmp_path / "run.json").write_text(json.dumps(settings))
    with pytest.raises(
        ValueError, match=f"got {FOREIGN[kind][kind]}, code that would be run; .*--trust"
    ):
        open_run(tmp_path)
    assert not (tmp_path / "run").exists()
    # Trusted, what is no network or likelihood is still not called.
    if kind != "objective":
        (tmp_path / "snapshots" / "step-0000000001").mkdir(parents=True)
        (tmp_path / "snapshots" / "step-0000000001" / "manifest.json").touch()
        with pytest.raises(ValueError, match=f"expected os:system, as {kind}, to"):
            open_run(tmp_path, trust=True)
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("options", 5, "expected options as Mapping, got 5"),
        ("options", {"widths": "abc"}, "expected widths of convolutional_vae as counts from 1"),
        ("options", {"widths": [-1]}, "expected widths of convolutional_vae as counts from 1"),
        ("options", {"widths": [0.5]}, "expected widths of convolutional_vae as counts from 1"),
        ("latents", "ten", "expected latents as int, got 'ten'"),
        ("latents", True, "expected latents as int, got True"),
        ("epochs", None, "expected epochs as int, got None"),
        ("coefficients", {"capacity": "four"}, "expected a finite capacity, got four"),
        ("ramps", {"capacity": 0.5}, "expected a ramp of capacity over at least 1 step"),
        ("seed", [1], "expected seed as int"),
        ("network", ["dense_vae"], "expected network as str"),
        ("image_shape", [0, 8, 1], "image_shape"),
        ("image_shape", [8.5, 8, 1], "image_shape"),
    ],
)
def test_settings_of_another_kind_are_refused_by_name(folder, tmp_path, name, value, said):
    settings = json.loads((folder / "run.json").read_text()) | {name: value}
    place = shutil.copytree(folder, tmp_path / "run")
    (place / "run.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=said):
        open_run(place)
