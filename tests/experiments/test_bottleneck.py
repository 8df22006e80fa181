"""The bottleneck sweep from end to end, at the smallest size that has all of its parts."""

import dataclasses
import io
import json
import shutil
import signal
import sys

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from experiments.bottleneck import Config, report
from experiments.bottleneck.between_models import between_models
from experiments.bottleneck.config import compared_seeds, run_name
from experiments.bottleneck.config import runs as runs_of
from experiments.bottleneck.measuring import measured_images
from experiments.bottleneck.records import gather
from experiments.bottleneck.sweep import EXPERIMENT
from jaxvae.metrics import gride, information_imbalance
from jaxvae.runs.sweep_run import run_file
from jaxvae.sweeps import unit_training
from jaxvae.sweeps.job import Job
from jaxvae.sweeps.launch import run
from jaxvae.sweeps.launch_options import Launch
from jaxvae.sweeps.records import read_run, write_arrays
from tests.experiments.figures import drawn
from tests.files.damage import flip
from tests.processes import stop
from tests.sweeps.stops import StopError, stopping

pytestmark = pytest.mark.slow

FIRST = Config(
    data="sprites",
    image_size=16,
    train_size=512,
    test_size=200,
    points=100,
    widths=(16,),
    bottlenecks=(2,),
    seeds=(0,),
    epochs=12,
    snapshots=(0, 1),
    batch_size=64,
)
SWEEP = dataclasses.replace(FIRST, bottlenecks=(2, 3), seeds=(0, 1))
LAYERS = ["input", "encoder/1", "mean", "log_variance", "sample", "decoder/1", "output"]
RUNS = list(runs_of(SWEEP))
WITH_LAYER = (
    "intrinsic_dimension",
    "imbalance_to_input",
    "imbalance_from_input",
    "imbalance_to_output",
    "imbalance_from_output",
)
# The share of one process of one, which draws nothing.
ONLY_TRAINED = {"shard": (0, 1)}
WITHOUT_LAYER = ("reconstruction", "kl", "active_units")


def sweep(config, out, **launch):
    """Run and return what the terminal shows."""
    shown = io.StringIO()
    console = Console(file=shown, width=80, highlight=False, markup=False)
    run(Job("experiments.bottleneck.sweep:EXPERIMENT", config, out), Launch(**launch), console)
    return shown.getvalue()


def record_times(out):
    return {path.name: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}


def assert_same_records(out, expected):
    assert set(record_times(out)) == set(record_times(expected))
    for name in RUNS:
        one, other = read_run(out, name), read_run(expected, name)
        assert set(one) == set(other)
        # Where the variables of a run are is another place where it was made apart.
        for array in set(other) - {"unit_unit", "unit_member", "unit_members"}:
            # Bitwise; assert_array_equal takes NaN for equal to NaN.
            np.testing.assert_array_equal(one[array], other[array], err_msg=array)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of the sweep, and what the terminal showed."""
    out = tmp_path_factory.mktemp("bottleneck") / "sweep"
    return out, sweep(SWEEP, out)


@pytest.fixture(scope="module")
def out(finished):
    return finished[0]


@pytest.fixture(scope="module")
def records(out):
    with xr.open_dataset(out / "records.nc") as opened:
        return opened.load()


@pytest.fixture
def undrawn(monkeypatch):
    """Reports have no figures here, which other tests draw."""
    monkeypatch.setattr(report, "draw_figures", lambda records, folder: [])


@pytest.fixture
def copy(out, tmp_path):
    """The finished sweep, to be damaged."""
    return shutil.copytree(out, tmp_path / "sweep")


# --- records --------------------------------------------------------------------------


def test_records_have_the_dimensions_of_the_sweep(records):
    sizes = {name: records.sizes[name] for name in ("bottleneck", "seed", "epoch", "layer")}
    assert sizes == {"bottleneck": 2, "seed": 2, "epoch": 3, "layer": len(LAYERS)}


def test_records_are_labelled(records):
    assert records["bottleneck"].values.tolist() == [2, 3]
    assert records["seed"].values.tolist() == [0, 1]
    assert records["epoch"].values.tolist() == [0, 1, 12]
    assert records["layer"].values.tolist() == LAYERS


@pytest.mark.parametrize("name", WITH_LAYER)
def test_the_geometry_is_recorded_by_layer(records, name):
    assert set(records[name].dims) == {"bottleneck", "seed", "epoch", "layer"}


@pytest.mark.parametrize("name", WITHOUT_LAYER)
def test_the_rates_are_recorded_by_run_and_epoch(records, name):
    assert set(records[name].dims) == {"bottleneck", "seed", "epoch"}


def test_the_null_is_recorded_by_bottleneck(records):
    null = records["intrinsic_dimension_null"]
    assert null.dims == ("bottleneck",)
    # A Gaussian of 100 points in 2 and 3 dimensions: 13% for one cloud, eight of them averaged.
    np.testing.assert_allclose(null, [2, 3], rtol=0.2)


def test_every_recorded_value_is_finite(records):
    for name in (*WITH_LAYER, *WITHOUT_LAYER):
        assert np.all(np.isfinite(records[name])), name


def test_imbalances_are_between_the_floor_and_little_more_than_one(records):
    # Independent spaces give 1 with a spread of 0.58 / sqrt(100) = 0.06.
    for name in WITH_LAYER[1:]:
        assert float(records[name].min()) >= 2 / SWEEP.points - 1e-6
        assert float(records[name].max()) < 1 + 5 * 0.06


@pytest.mark.parametrize("name", ["input", "output"])
def test_input_and_output_predict_themselves_up_to_ties(records, name):
    # Sprites that a symmetry maps to themselves are drawn twice: such pairs share a rank.
    floor = 2 / SWEEP.points
    for direction in ("to", "from"):
        diagonal = records[f"imbalance_{direction}_{name}"].sel(layer=name)
        assert float(diagonal.min()) >= floor - 1e-6
        assert float(diagonal.max()) < 1.5 * floor


def test_to_and_from_are_the_two_directions_of_one_pair(records):
    forward = records["imbalance_to_output"].sel(layer="input")
    backward = records["imbalance_from_input"].sel(layer="output")
    np.testing.assert_array_equal(forward, backward)
    forward = records["imbalance_to_input"].sel(layer="output")
    backward = records["imbalance_from_output"].sel(layer="input")
    np.testing.assert_array_equal(forward, backward)


def test_the_input_is_the_same_in_every_run(records):
    dimension = records["intrinsic_dimension"].sel(layer="input")
    assert float(dimension.min()) == float(dimension.max()) > 3


def test_no_layer_has_more_active_units_than_latents(records):
    assert bool((records["active_units"] <= records["bottleneck"]).all())


def test_training_improves_the_reconstruction(records):
    reconstruction = records["reconstruction"].mean(["bottleneck", "seed"])
    assert float(reconstruction[-1]) < float(reconstruction[0])
    # Before training every pixel is a coin: 256 ln 2 nats, give or take the random weights.
    assert float(reconstruction[0]) == pytest.approx(256 * np.log(2), rel=0.1)


def test_the_dimension_over_scales_begins_with_that_of_the_nearest_neighbors(out, records):
    assert records["far_neighbor"].values.tolist() == [2, 4, 8, 16, 32]
    assert np.all(np.isfinite(records["scale_dimension"]))
    scales = records["scale_dimension"].isel(far_neighbor=0)
    # Gride at its first scale is the maximum likelihood of the ratios that TwoNN fits.
    fitted = records["intrinsic_dimension"].isel(epoch=-1)
    np.testing.assert_allclose(scales, fitted.transpose(*scales.dims), rtol=0.25)
    expected = gride(read_run(out, run_name(3, 1))["mean"], max_rank=32).values
    here = records["scale_dimension"].sel(bottleneck=3, seed=1, layer="mean")
    np.testing.assert_allclose(here, expected)


def test_models_are_compared_by_the_latents_of_the_same_images(out, records):
    one, two = (read_run(out, run_name(*each))["mean"] for each in ((2, 1), (3, 0)))
    assert one.shape == (SWEEP.points, 2)
    expected = information_imbalance(one, two)
    between = records["imbalance_between"].sel(space="mean")
    forward = between.sel(bottleneck=2, compared_seed=1, other_bottleneck=3, other_seed=0)
    backward = between.sel(bottleneck=3, compared_seed=0, other_bottleneck=2, other_seed=1)
    np.testing.assert_allclose((forward, backward), expected, rtol=1e-6)
    itself = between.sel(bottleneck=3, compared_seed=0, other_bottleneck=3, other_seed=0)
    assert float(itself) == pytest.approx(2 / SWEEP.points)


# --- figures, table and sentence ------------------------------------------------------

FIGURES = (
    "dimension_profile",
    "dimension_scale",
    "imbalance_profile",
    "against_bottleneck",
    "between_bottlenecks",
    "phases",
    "examples",
)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_and_not_blank(out, name):
    pixels, colors = drawn(out / "figures" / f"{name}.png")
    assert min(pixels.shape[:2]) > 300
    assert colors > 20
    assert 0.005 < np.mean(np.any(pixels < 230, axis=-1)) < 0.9


def test_the_terminal_shows_a_row_per_bottleneck_and_the_sentence(finished):
    shown = finished[1]
    assert "4 of 4 runs to do, in 2 units; about 1 minute on this machine" in shown
    rows = [line.split()[0] for line in shown.splitlines() if line.startswith((" 2 ", " 3 "))]
    assert rows == ["2", "3"]
    # Its models have learned next to nothing in a moment.
    below = " ".join(shown.split("──")[-1].split())
    assert "Not decided: the models have learned next to nothing" in below
    assert str(finished[0] / "records.nc") in shown


def test_the_summary_holds_the_table_and_the_null(out):
    summary = (out / "summary.md").read_text()
    assert "| K | ID input | ID mean | ID sample | ID Gaussian |" in summary
    assert "| 3 |" in summary


# --- run again ------------------------------------------------------------------------


def test_more_bottlenecks_leave_finished_runs_as_they_are_and_a_lost_one_is_made_again(copy, out):
    run_file(copy, run_name(3, 1)).unlink()
    before = record_times(copy)
    shown = sweep(dataclasses.replace(SWEEP, bottlenecks=(1, 2, 3)), copy, **ONLY_TRAINED)
    assert "3 of 6 runs to do, in " in shown
    after = record_times(copy)
    new = {f"{name}.npz" for name in (run_name(1, 0), run_name(1, 1), run_name(3, 1))}
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == new
    for name in (run_name(1, 0), run_name(1, 1)):
        run_file(copy, name).unlink()
    assert_same_records(copy, out)


def test_a_finished_sweep_is_only_redrawn(copy):
    before = record_times(copy)
    shutil.rmtree(copy / "figures")
    shown = sweep(SWEEP, copy)
    assert record_times(copy) == before
    assert "to do" not in shown
    assert sorted(path.stem for path in (copy / "figures").iterdir()) == sorted(FIGURES)


def test_a_report_draws_what_is_done_and_says_what_is_not(copy):
    for name in (run_name(2, 0), run_name(3, 0)):
        run_file(copy, name).unlink()
    (copy / "between.npz").unlink()
    shutil.rmtree(copy / "figures")
    shown = sweep(SWEEP, copy, report=True)
    assert "2 of 4 runs are not done, and missing below: bottleneck-2_seed-0" in shown
    drawn = {path.stem for path in (copy / "figures").iterdir()}
    # Delta between models is of all of them.
    assert drawn == set(FIGURES) - {"between_bottlenecks"}
    with xr.open_dataset(copy / "records.nc") as records:
        assert records["missing"].values.tolist() == [[True, False], [True, False]]
        assert np.isnan(records["kl"].sel(seed=0)).all()
        assert np.isfinite(records["kl"].sel(seed=1)).all()


@pytest.mark.usefixtures("undrawn")
def test_the_settings_are_those_of_the_records(copy):
    shown = sweep(FIRST, copy)
    assert "0 of 1 runs to do, in 1 unit" in shown
    assert json.loads((copy / "config.json").read_text())["seeds"] == [0]
    with xr.open_dataset(copy / "records.nc") as records:
        assert records.sizes["seed"] == 1


@pytest.mark.parametrize("changed", [{"epochs": 13}, {"points": 99}, {"learning_rate": 0.1}])
def test_other_settings_in_the_same_folder_are_refused(out, changed):
    with pytest.raises(ValueError, match=f"{next(iter(changed))} .* choose another --out"):
        sweep(dataclasses.replace(SWEEP, **changed), out)


def test_copies_of_images_are_not_measured_and_not_asked_for(tmp_path):
    images = np.repeat(
        np.random.default_rng(0).integers(256, size=(70, 8, 8, 1), dtype=np.uint8), 2, 0
    )
    np.savez(tmp_path / "twice.npz", x_train=images, x_test=images)
    own = dataclasses.replace(FIRST, data=str(tmp_path / "twice.npz"), image_size=None)
    own = dataclasses.replace(own, train_size=None, test_size=None, points=70)
    measured = measured_images(own)
    assert len(np.unique(measured.reshape(70, -1), axis=0)) == 70
    with pytest.raises(ValueError, match=r"up to the 70 distinct held-out images of .*, got 71"):
        EXPERIMENT.check(dataclasses.replace(own, points=71))


@pytest.mark.usefixtures("undrawn")
def test_models_that_were_measured_on_copies_are_drawn_and_mixed_with_none(copy):
    config = dataclasses.replace(SWEEP, bottlenecks=(2, 3, 4))
    for name in RUNS:
        record = read_run(copy, name)
        record["distinct_points"][:] = 99
        write_arrays(run_file(copy, name), record, scratch=copy)
    before = record_times(copy)
    with pytest.raises(ValueError, match="on 100 distinct images, got one on 99 and on copies"):
        sweep(config, copy)
    assert record_times(copy) == before
    sweep(SWEEP, copy)


def test_a_damaged_record_is_named_and_made_again_as_it_was(copy, out, caplog):
    torn, flipped, other, pickled = (run_file(copy, name) for name in RUNS)
    torn.write_bytes(torn.read_bytes()[:700])
    flip(flipped)
    other.write_bytes(b"")
    pickled.write_text("no archive")
    sweep(SWEEP, copy, **ONLY_TRAINED)
    assert_same_records(copy, out)
    for path in (torn, flipped, other, pickled):
        assert caplog.text.count(str(path)) == 1


def test_models_larger_than_the_memory_are_refused_before_anything_is_allocated(tmp_path):
    with pytest.raises(ValueError, match="choose a smaller network or batch"):
        sweep(dataclasses.replace(SWEEP, bottlenecks=(10**9,)), tmp_path)


# --- killed ---------------------------------------------------------------------------


def test_a_sweep_that_was_killed_ends_with_the_records_of_one_that_was_not(
    tmp_path, out, monkeypatch
):
    (unit, _) = EXPERIMENT.sweep(SWEEP, out).units
    with monkeypatch.context() as patch:
        # When it has written what was measured at the second of three epochs.
        patch.setattr(unit_training, "write_arrays", stopping(write_arrays, 3, StopError()))
        with pytest.raises(StopError):
            sweep(SWEEP, tmp_path, **ONLY_TRAINED)
    assert (tmp_path / "units" / unit.name / "epoch-0001.npz").exists()
    assert not (tmp_path / "runs").exists()
    sweep(SWEEP, tmp_path, **ONLY_TRAINED)
    assert_same_records(tmp_path, out)


def test_a_sweep_that_was_interrupted_says_how_to_go_on(tmp_path):
    command = [sys.executable, "-m", "experiments.bottleneck", "demo"]
    status, shown = stop(command, tmp_path, signal.SIGINT, after="config.json")
    assert status == 130
    assert "Interrupted. The same command continues where it stopped." in shown
    assert "Traceback" not in shown


# --- divergence -----------------------------------------------------------------------


def test_a_sweep_of_which_every_run_diverges_says_so(tmp_path):
    # One step: its loss is that before the update, and finite.
    config = dataclasses.replace(
        FIRST, learning_rate=1e30, epochs=1, snapshots=(0,), batch_size=512
    )
    with pytest.raises(ValueError, match="of which all runs are done and none failed, got none"):
        sweep(config, tmp_path)
    records = gather(config, EXPERIMENT.sweep(config, tmp_path))
    assert records["failed"].values.tolist() == [[[False, True]]]
    assert np.isfinite(records["reconstruction"].values).tolist() == [[[True, False]]]
    assert np.isnan(records["intrinsic_dimension"].isel(epoch=-1)).all()


def test_a_model_that_failed_is_compared_with_none(tmp_path):
    random, names = np.random.default_rng(0), ["a", "b", "failed", "d"]
    for name, size in zip(names, (2, 2, 3, 3), strict=True):
        latents = {each: random.normal(size=(30, size)) for each in ("mean", "sample")}
        arrays = {"kl": np.zeros(1)} if name == "failed" else latents
        write_arrays(run_file(tmp_path, name), arrays, scratch=tmp_path)
    found = between_models(tmp_path, names)["imbalance_between"]
    assert np.isnan(found[:, 2]).all()
    assert np.isnan(found[:, :, 2]).all()
    assert int(np.isfinite(found).sum()) == 2 * 3 * 3


def test_so_many_models_are_compared_as_pairs_of_them_can_be():
    assert compared_seeds(SWEEP) == (0, 1)
    many = dataclasses.replace(SWEEP, bottlenecks=tuple(range(1, 11)), seeds=tuple(range(1000)))
    assert compared_seeds(many) == (0, 1, 2, 3, 4, 5)
    assert compared_seeds(dataclasses.replace(many, bottlenecks=tuple(range(1, 101)))) == (0,)


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_failed_is_named_and_left_out(copy):
    file, record = run_file(copy, run_name(3, 1)), read_run(copy, run_name(3, 1))
    # What is known of the last epoch of a run that stopped: nothing, and no latents.
    for name in ("intrinsic_dimension", "imbalance", "reconstruction", "kl"):
        record[name][-1] = np.nan
    record["failed"][-1] = True
    for name in ("mean", "sample", "scale_dimension", "scale_dimension_stderr", "scale_radius"):
        del record[name]
    write_arrays(file, record, scratch=copy)
    shown = sweep(SWEEP, copy)
    assert "failed: K = 3, seed 1; their seeds are left out below" in shown
    assert "epoch 12, 1 seed " in shown
    with xr.open_dataset(copy / "records.nc") as records:
        assert records.sizes["seed"] == 2
        assert np.isnan(records["scale_dimension"].sel(bottleneck=3, seed=1)).all()


@pytest.mark.usefixtures("undrawn")
def test_the_pictures_are_of_the_first_seed_that_did_not_fail(copy):
    file, record = run_file(copy, run_name(3, 0)), read_run(copy, run_name(3, 0))
    expected = read_run(copy, run_name(3, 1))["example_reconstruction"]
    record["failed"][-1] = True
    # NaN becomes black.
    for name in ("example_reconstruction", "example_sample"):
        record[name][:] = 0
    write_arrays(file, record, scratch=copy)
    sweep(SWEEP, copy)
    with xr.open_dataset(copy / "records.nc") as records:
        shown = records["example_reconstruction"].sel(bottleneck=3).values
    np.testing.assert_array_equal(shown, expected)
