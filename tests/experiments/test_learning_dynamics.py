"""Learning dynamics from end to end, at the smallest size that has all of its parts."""

import dataclasses
import io
import shutil

import jax
import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from experiments.learning_dynamics import Config, models, report
from experiments.learning_dynamics.comparing import measured_images
from experiments.learning_dynamics.config import INITIALIZATIONS, NOISE, OBJECTIVES, DataAndNetwork
from experiments.learning_dynamics.runs import runs
from experiments.learning_dynamics.sweep import EXPERIMENT
from jaxvae.analysis import capture
from jaxvae.analysis.dynamics import similarities
from jaxvae.data import load
from jaxvae.models import initialization
from jaxvae.runs.building import build_model, build_trainer, run_keys
from jaxvae.runs.images import dataset_of
from jaxvae.runs.sweep_run import UNITS, open_sweep_run
from jaxvae.sweeps import unit_training
from jaxvae.sweeps.job import Job
from jaxvae.sweeps.launch import run
from jaxvae.sweeps.launch_options import Launch
from jaxvae.sweeps.records import write_arrays
from jaxvae.training import replicated, train
from tests.runs.states import assert_can_be_trained
from tests.sweeps.stops import StopError, stopping

pytestmark = pytest.mark.slow

TINY = Config(
    data=("sprites",),
    image_size=16,
    train_size=256,
    networks=("dense_vae",),
    objectives=("annealed_vae", "factor_vae"),
    values=1,
    seeds=(0, 1),
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


PLACE = "sprites/dense_vae"
# The share of one process of one, which draws nothing.
ONLY_TRAINED = {"shard": (0, 1)}


def study(config, out, **launch):
    shown = io.StringIO()
    job = Job("experiments.learning_dynamics.sweep:EXPERIMENT", config, out)
    run(job, Launch(**launch), Console(file=shown, width=100, highlight=False, markup=False))
    return shown.getvalue()


def written(out):
    """The arrays of a folder, and when they were written."""
    return {path.relative_to(out): path.stat().st_mtime_ns for path in out.rglob("*.npz")}


def records_of(out):
    with xr.open_dataset(out / "records.nc", group=PLACE) as opened:
        return opened.load()


def assert_same_arrays(out, expected):
    """Bit by bit, all that was found of runs and of all together."""
    files = sorted(path.relative_to(expected) for path in expected.rglob("*.npz"))
    assert files == sorted(path.relative_to(out) for path in out.rglob("*.npz"))
    for file in files:
        with np.load(out / file) as one, np.load(expected / file) as other:
            assert set(one) == set(other)
            for name in other:
                np.testing.assert_array_equal(one[name], other[name], err_msg=f"{file} {name}")


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A study of one objective that gets another, killed on the way; when files were written."""
    out, times = tmp_path_factory.mktemp("dynamics") / "tiny", []
    study(dataclasses.replace(TINY, objectives=TINY.objectives[:1]), out, **ONLY_TRAINED)
    times.append(written(out))
    with pytest.MonkeyPatch.context() as patch:
        # When it has written what was measured at the second of three epochs.
        patch.setattr(unit_training, "write_arrays", stopping(write_arrays, 3, StopError()))
        with pytest.raises(StopError):
            study(TINY, out)
    times.append(written(out))
    return out, study(TINY, out), times


@pytest.fixture(scope="module")
def finished(grown):
    """Its folder, and what the terminal showed."""
    return grown[:2]


@pytest.fixture(scope="module")
def records(finished):
    return records_of(finished[0])


@pytest.fixture
def undrawn(monkeypatch):
    """Reports have no figures here, which other tests draw."""
    monkeypatch.setattr(report, "draw_dynamics", lambda records, folder: [])


@pytest.fixture
def copy(finished, tmp_path):
    """The finished study, to be worked on."""
    return shutil.copytree(finished[0], tmp_path / "copy")


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


@pytest.fixture(scope="module")
def alone():
    """A model of the study trained alone to its end, its replicate, and their VAE."""
    config = runs(TINY)[f"{PLACE}/annealed_vae_25_seed-1"]
    data = load("sprites", image_size=16, train_size=256)
    vae = build_model(config, (16, 16, 1))
    trainer = build_trainer(config, vae, dataset_size=256)
    before = train(
        trainer, trainer.init(run_keys(config)[0]), data.train.images, epochs=3, batch_size=64
    )
    ends = [
        train(trainer, state, data.train.images, epochs=4, batch_size=64).variables
        for state in (before, replicated(before))
    ]
    return vae, *ends, data.test.images[: TINY.points]


def test_a_model_is_one_trained_alone(finished, alone):
    config, vae, variables, _ = open_sweep_run(finished[0], f"{PLACE}/annealed_vae_25_seed-1")
    assert (config.objective, config.coefficients["capacity"], vae.latents) == (
        "annealed_vae", 25, TINY.latents,
    )  # fmt: skip
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5),
        variables,
        alone[1],
    )


def test_a_replicate_is_the_model_alone_with_another_last_epoch(records, alone):
    # Trained alone to epoch 3, and from there on as its replicate.
    vae, *both, images = alone
    end, replicate = (capture(vae, each, images, key=jax.random.key(NOISE)) for each in both)
    found = records["debiased_cka_replicate"].isel(run=1)
    for layer in LAYERS[1:]:
        spaces = [end[layer], replicate[layer]]
        expected = similarities(spaces, points={"debiased_cka": TINY.points})["debiased_cka"][0, 1]
        got = float(found.sel(layer=layer))
        # As shares of how far they are from one another.
        np.testing.assert_allclose(1 - got, 1 - expected, rtol=0.02, err_msg=layer)


def test_another_objective_leaves_models_that_are_done_and_goes_on_where_it_was_killed(grown):
    out, _, (first, killed) = grown
    runs = {path: when for path, when in first.items() if path.parts[0] == "runs"}
    assert {path.name for path in runs} == {f"annealed_vae_25_seed-{seed}.npz" for seed in (0, 1)}
    _, factor, _ = EXPERIMENT.sweep(TINY, out).units
    begun = {path: when for path, when in killed.items() if path.parts[1] == factor.name}
    assert {path.name for path in begun} == {"epoch-0000.npz", "epoch-0002.npz"}
    assert killed == first | begun
    assert {path: written(out)[path] for path in runs} == runs


def test_what_is_lost_is_made_again_at_once_to_the_same_bit_by_bit(finished, copy):
    _, factor, _ = EXPERIMENT.sweep(TINY, copy).units
    shutil.rmtree(copy / UNITS / factor.name)
    shutil.rmtree(copy / "between")
    for file in (copy / "runs" / PLACE).glob("factor_vae_*.npz"):
        file.unlink()
    study(TINY, copy, **ONLY_TRAINED)
    assert_same_arrays(copy, finished[0])


def test_every_latent_is_of_one_kind(records):
    kinds = sum(records[f"{kind}_latents"] for kind in ("active", "mixed", "passive"))
    np.testing.assert_array_equal(kinds, TINY.latents)


def test_the_terminal_shows_the_table_the_findings_and_where_the_rest_is(finished):
    out, shown = finished
    assert "Of what was left to learn, the encoder was first in" in shown
    assert "encoder" in shown
    assert "annealed_vae" in shown
    assert str(out / "records.nc") in shown
    assert (out / "summary.md").read_text().startswith("# Learning dynamics")


def test_a_finished_study_is_only_drawn_again(copy):
    before = written(copy)
    study(TINY, copy)
    assert before == written(copy)


def test_more_seeds_ask_for_what_is_new(finished):
    more = dataclasses.replace(TINY, seeds=(0, 1, 5))
    assert "3 of 3 units to do" in study(more, finished[0], plan=True)
    assert EXPERIMENT.sweep(more, finished[0]).missing() == [
        f"{PLACE}/annealed_vae_25_seed-5",
        f"{PLACE}/factor_vae_30_seed-5",
    ]


@pytest.mark.usefixtures("undrawn")
def test_a_report_on_the_way_is_of_what_is_done_and_says_what_is_missing(copy):
    for file in (copy / "runs" / PLACE).glob("annealed_vae_*.npz"):
        file.unlink()
    config = dataclasses.replace(TINY, networks=("dense_vae", "compact_vae"))
    shown = study(config, copy, report=True)
    missing = [f"{PLACE}/annealed_vae_25_seed-{seed}" for seed in (0, 1)]
    assert f"6 of 8 runs are not done, and missing below: {', '.join(missing)}" in shown
    assert "no model was trained to the end for sprites, compact_vae" in shown
    found = records_of(copy)
    assert found["objective"].values.tolist() == ["factor_vae"] * 2
    assert not np.isnan(found["debiased_cka_between"]).any()
    said = (copy / "summary.md").read_text()
    assert f"Runs that are not done yet, and missing here: {', '.join(missing)}, " in said
    assert "2 models (none failed)" in said
    assert not list((copy / "runs" / PLACE).glob("annealed_vae_*.npz"))


@pytest.mark.usefixtures("undrawn")
def test_of_models_that_were_never_compared_the_similarities_are_unknown(copy):
    (file,) = (copy / "between").rglob("*.npz")
    with np.load(file) as compared:
        others = dict(compared) | {"model": np.array(["a", "b", "c", "d"])}
    np.savez(file, **others)
    study(TINY, copy, report=True)
    assert np.isnan(records_of(copy)["debiased_cka_between"]).all()


def test_other_settings_in_the_same_folder_are_refused(finished):
    with pytest.raises(ValueError, match="epochs 4 \\(now 5\\)"):
        study(dataclasses.replace(TINY, epochs=5), finished[0])


def test_a_study_whose_models_all_fail_says_so(tmp_path):
    config = dataclasses.replace(TINY, objectives=TINY.objectives[:1], learning_rate=1e30)
    with pytest.raises(ValueError, match="got none for sprites, dense_vae"):
        study(config, tmp_path / "bad")


def test_the_grid_takes_strengths_from_all_over_the_range():
    values = {count: [] for count in (1, 2, 5)}
    for count, found in values.items():
        config = dataclasses.replace(TINY, objectives=("beta_vae",), values=count, seeds=(0,))
        found += [model.value for model in models(config)]
    assert values == {1: [4], 2: [2, 6], 5: [1, 2, 4, 6, 8]}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_run_of_every_objective_can_be_trained(objective):
    config = dataclasses.replace(TINY, objectives=(objective,), seeds=(0,))
    (each,) = runs(config).values()
    assert_can_be_trained(each, (16, 16, 1))


def test_models_are_compared_untrained_at_snapshots_and_at_the_end():
    assert Config().measured == (0, 2, 7, 14, 19, 26)
    assert Config(epochs=10, snapshots=(8, 1, 12)).measured == (0, 1, 8, 10)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"objectives": ("vae",)}, "--objectives among beta_vae"),
        ({"values": 6}, "--values of 1 to 5, got 6"),
        ({"snapshots": (1, -1)}, "--snapshots of at least 0"),
        ({"seeds": ()}, "--seeds of at least one"),
        ({"ramp": 0}, "--ramp of at least 1"),
        ({"initialization": "torch"}, "--initialization among .*'keras'"),
        ({"imbalance_points": 41}, "--imbalance-points of 4 to 40"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changed)


@pytest.mark.parametrize("data", ["/tmp/my images.npz", "mnist", "a/b:1.0.0"])
def test_the_name_of_any_data_set_can_be_that_of_a_group_of_records(tmp_path, data):
    name = DataAndNetwork(data, "dense_vae").name
    assert name.count("/") == 1
    tree = xr.DataTree.from_dict({name: xr.Dataset({"x": 1.0})})
    tree.to_netcdf(tmp_path / "records.nc")
    with xr.open_datatree(tmp_path / "records.nc") as opened:
        assert float(opened[name]["x"]) == 1.0
    assert not name.startswith("-")


def test_copies_of_images_are_not_compared_and_not_asked_for(tmp_path):
    images = np.random.default_rng(0).integers(256, size=(70, 8, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "twice.npz", x_train=images, x_test=np.repeat(images, 2, axis=0))
    own = dataclasses.replace(TINY, data=(str(tmp_path / "twice.npz"),), image_size=None)
    own = dataclasses.replace(own, train_size=None, points=70)
    measured = measured_images(own, dataset_of(next(iter(runs(own).values()))))
    assert len(np.unique(measured.reshape(70, -1), axis=0)) == 70
    with pytest.raises(ValueError, match=r"up to the 70 distinct held-out images of .*, got 71"):
        EXPERIMENT.check(dataclasses.replace(own, points=71))


def test_the_initializations_are_those_there_are():
    assert tuple(initialization.INITIALIZATIONS) == INITIALIZATIONS
