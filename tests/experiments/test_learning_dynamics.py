"""Learning dynamics from end to end, at the smallest size that has all of its parts."""

import dataclasses
import io
import shutil
import signal

import jax
import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from experiments.learning_dynamics import Config, models
from experiments.learning_dynamics.grid import INITIALIZATIONS
from experiments.learning_dynamics.study import run
from jaxvae.data import load
from jaxvae.models import initialization
from jaxvae.runs import checkpoint
from jaxvae.runs.config import build_trainer
from jaxvae.runs.saved import open_run
from jaxvae.training import replicated, train
from tests.experiments.processes import command, stop

pytestmark = pytest.mark.slow

TINY = Config(
    data=("sprites",),
    image_size=16,
    train_size=256,
    networks=("dense_vae",),
    objectives=("annealed_vae", "factor_vae"),
    values=1,
    seeds=2,
    latents=3,
    epochs=4,
    snapshots=(2,),
    batch_size=64,
    learning_rate=1e-3,
    points=40,
    imbalance_points=30,
    procrustes_points=20,
    costly_seeds=1,
)
LAYERS = [
    "input", "encoder/1", "encoder/2", "mean", "log_variance", "sample",
    "decoder/1", "decoder/2", "output",
]  # fmt: skip


def study(config, out):
    shown = io.StringIO()
    run(config, out, Console(file=shown, width=100, highlight=False, markup=False))
    return shown.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("dynamics") / "tiny"
    return out, study(TINY, out)


@pytest.fixture(scope="module")
def records(finished):
    with xr.open_dataset(finished[0] / "records.nc", group="sprites/dense_vae") as opened:
        return opened.load()


def test_records_are_labelled(records):
    assert records["objective"].values.tolist() == ["annealed_vae"] * 2 + ["factor_vae"] * 2
    assert records["value"].values.tolist() == [25, 25, 30, 30]
    assert records["seed"].values.tolist() == [0, 1, 0, 1]
    assert records["epoch"].values.tolist() == [0, 2, 4]
    assert records["layer"].values.tolist() == LAYERS


@pytest.mark.parametrize("name", ["cka", "debiased_cka", "procrustes"])
def test_a_layer_is_itself(records, name):
    flat = records[name].isel(run=0).values.reshape(3 * len(LAYERS), -1)
    np.testing.assert_allclose(np.diagonal(flat), 1, atol=1e-5)
    np.testing.assert_allclose(flat, flat.T, atol=1e-5)


def test_the_input_does_not_depend_on_the_epoch_and_the_layers_do(records):
    cka = records["cka"].isel(epoch=0, other_epoch=-1)
    own = {layer: cka.sel(layer=layer, other_layer=layer).values for layer in LAYERS}
    np.testing.assert_allclose(own["input"], 1, atol=1e-5)
    assert np.all(own["decoder/2"] < 0.999)


def test_only_the_first_seeds_pay_for_what_is_costly(records):
    known = ~np.isnan(records["procrustes"].values.reshape(4, -1)).any(axis=1)
    assert known.tolist() == [True, False, True, False]
    assert not np.isnan(records["cka"]).any()


def test_models_are_compared_at_the_end(records):
    matrix = records["debiased_cka_between"]
    np.testing.assert_allclose(matrix.sel(layer="input"), 1, atol=1e-5)
    np.testing.assert_allclose([np.diagonal(layer) for layer in matrix], 1, atol=1e-5)
    assert float(matrix.sel(layer="decoder/2").isel(run=0, other_run=1)) < 0.999


def test_the_null_is_far_from_the_same_layer(records):
    assert np.all(np.abs(records["debiased_cka_null"].sel(layer="input")) < 0.5)
    assert np.all(records["imbalance_null"].isel(run=0) > 0.5)


def test_a_replicate_is_near_the_end_and_not_the_end(records):
    near = records["debiased_cka_replicate"]
    far = records["debiased_cka"].isel(epoch=0, other_epoch=-1)
    np.testing.assert_allclose(near.sel(layer="input"), 1, atol=1e-5)
    for layer in ("decoder/1", "decoder/2"):
        untrained = far.sel(layer=layer, other_layer=layer).values
        assert np.all(untrained < near.sel(layer=layer))
        assert np.all(near.sel(layer=layer) < 1 - 1e-6)


def test_a_replicate_is_the_model_alone_with_another_last_epoch(finished):
    # Trained alone to epoch 3, and from there on as its replicate.
    out = finished[0]
    folder = out / "runs" / "sprites" / "dense_vae" / "annealed_vae_25_seed-1"
    saved = open_run(folder)
    data = load("sprites", image_size=16, train_size=256)
    trainer = build_trainer(saved.config, saved.vae, dataset_size=256)
    state = trainer.init(jax.random.key(1))
    for epochs in (3, 4):
        state = train(trainer, state, data.train.images, epochs=epochs, batch_size=64)
        state = replicated(state)
    kept = checkpoint.load(folder / "replicate", 4, state.variables)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5),
        kept,
        state.variables,
    )


def test_a_lost_replicate_is_trained_again_to_the_same(finished, tmp_path):
    out = shutil.copytree(finished[0], tmp_path / "copy")
    folder = out / "runs" / "sprites" / "dense_vae"
    before = {path: path.read_bytes() for path in folder.rglob("similarity.npz")}
    shutil.rmtree(folder / "annealed_vae_25_seed-0" / "replicate")
    (folder / "annealed_vae_25_seed-0" / "similarity.npz").unlink()
    study(TINY, out)
    for path, content in before.items():
        with np.load(path) as one, np.load(io.BytesIO(content)) as other:
            for name in other:
                np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_every_latent_is_of_one_kind(records):
    kinds = sum(records[f"{kind}_latents"] for kind in ("active", "mixed", "passive"))
    np.testing.assert_array_equal(kinds, TINY.latents)


def test_a_model_is_a_saved_run(finished, records):
    out, _ = finished
    saved = open_run(out / "runs" / "sprites" / "dense_vae" / "factor_vae_30_seed-1")
    assert saved.config.objective == "factor_vae"
    assert saved.config.coefficients == {"gamma": 30}
    assert saved.vae.latents == TINY.latents


def test_the_terminal_shows_the_table_and_where_the_rest_is(finished):
    out, shown = finished
    assert "encoder" in shown
    assert "annealed_vae" in shown
    assert str(out / "records.nc") in shown
    assert (out / "summary.md").read_text().startswith("# Learning dynamics")


def test_a_finished_study_is_only_drawn_again(finished, tmp_path):
    out = shutil.copytree(finished[0], tmp_path / "copy")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")}
    study(TINY, out)
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")}


def test_another_objective_trains_only_what_is_new(finished, tmp_path):
    out = shutil.copytree(finished[0], tmp_path / "copy")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("epoch-*.npz")}
    study(dataclasses.replace(TINY, objectives=(*TINY.objectives, "beta_vae")), out)
    after = {path: path.stat().st_mtime_ns for path in out.rglob("epoch-*.npz")}
    assert before.items() <= after.items()
    assert len(after) == len(before) * 3 // 2


def test_other_settings_in_the_same_folder_are_refused(finished):
    with pytest.raises(ValueError, match="epochs 4 \\(now 5\\)"):
        study(dataclasses.replace(TINY, epochs=5), finished[0])


def test_a_study_whose_models_all_fail_says_so(tmp_path):
    config = dataclasses.replace(TINY, objectives=("beta_vae",), learning_rate=1e30)
    with pytest.raises(ValueError, match="no model of sprites, dense_vae"):
        study(config, tmp_path / "bad")


def test_killed_and_started_again_it_ends_bitwise_the_same(finished, tmp_path):
    out = tmp_path / "killed"
    # Killed while the second objective is trained.
    first = out / "runs" / "sprites" / "dense_vae" / "annealed_vae_25_seed-1" / "epoch-0004.npz"
    assert stop(command("learning_dynamics", TINY, out), signal.SIGKILL, after=first)[0] < 0
    study(TINY, out)
    expected = finished[0]
    for path in sorted((expected / "runs").rglob("*.npz")):
        with np.load(path) as one, np.load(out / path.relative_to(expected)) as other:
            for name in one:
                np.testing.assert_array_equal(one[name], other[name], err_msg=f"{path} {name}")


def test_the_grid_takes_strengths_from_all_over_the_range():
    values = {count: [] for count in (1, 2, 5)}
    for count, found in values.items():
        config = dataclasses.replace(TINY, objectives=("beta_vae",), values=count, seeds=1)
        found += [model.value for model in models(config)]
    assert values == {1: [4], 2: [2, 6], 5: [1, 2, 4, 6, 8]}


def test_models_are_compared_untrained_at_snapshots_and_at_the_end():
    assert Config().measured == (0, 2, 7, 14, 19, 26)
    assert Config(epochs=10, snapshots=(8, 1, 12)).measured == (0, 1, 8, 10)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"objectives": ("vae",)}, "--objectives among beta_vae"),
        ({"values": 6}, "--values of 1 to 5, got 6"),
        ({"snapshots": (1, -1)}, "--snapshots of at least 0"),
        ({"ramp": 0}, "--ramp of at least 1"),
        ({"initialization": "torch"}, "--initialization among .*'keras'"),
        ({"imbalance_points": 41}, "--imbalance-points of 4 to 40"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changed)


def test_the_initializations_are_those_there_are():
    assert tuple(initialization.INITIALIZATIONS) == INITIALIZATIONS
