"""The bottleneck sweep from end to end, at the smallest size that has all of its parts."""

import dataclasses
import io
import shutil
import signal
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from experiments.bottleneck import Config
from experiments.bottleneck.config import Run
from experiments.bottleneck.ends import with_ends
from experiments.bottleneck.sweep import run
from jaxvae.metrics import gride, information_imbalance
from tests.experiments.processes import command, stop

pytestmark = pytest.mark.slow

FIRST = Config(
    data="sprites",
    image_size=16,
    train_size=512,
    test_size=200,
    points=100,
    widths=(16,),
    bottlenecks=(2,),
    seeds=1,
    epochs=12,
    snapshots=(0, 1),
    batch_size=64,
)
SWEEP = dataclasses.replace(FIRST, bottlenecks=(2, 3), seeds=2)
LAYERS = ["input", "encoder/1", "mean", "log_variance", "sample", "decoder/1", "output"]
UNITS = [(size, seed) for size in SWEEP.bottlenecks for seed in range(SWEEP.seeds)]
WITH_LAYER = (
    "intrinsic_dimension",
    "imbalance_to_input",
    "imbalance_from_input",
    "imbalance_to_output",
    "imbalance_from_output",
)
WITHOUT_LAYER = ("reconstruction", "kl", "active_units")


def sweep(config, out):
    """Run and return what the terminal shows."""
    shown = io.StringIO()
    run(config, out, Console(file=shown, width=80, highlight=False, markup=False))
    return shown.getvalue()


def unit(out, size, seed):
    return out / "runs" / f"bottleneck-{size}_seed-{seed}"


def record_times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npz")}


def assert_same_records(out, expected):
    for size, seed in UNITS:
        for path in sorted(unit(expected, size, seed).glob("*.npz")):
            with np.load(unit(out, size, seed) / path.name) as one, np.load(path) as other:
                assert set(one) == set(other)
                for name in other:
                    # Bitwise; assert_array_equal takes NaN for equal to NaN.
                    np.testing.assert_array_equal(one[name], other[name], err_msg=name)


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
    with np.load(unit(out, 3, 1) / "end.npz") as end:
        expected = gride(end["mean"], max_rank=32).values
    here = records["scale_dimension"].sel(bottleneck=3, seed=1, layer="mean")
    np.testing.assert_allclose(here, expected)


def test_models_are_compared_by_the_latents_of_the_same_images(out, records):
    with np.load(unit(out, 2, 1) / "end.npz") as one, np.load(unit(out, 3, 0) / "end.npz") as two:
        assert one["mean"].shape == (SWEEP.points, 2)
        expected = information_imbalance(one["mean"], two["mean"])
    between = records["imbalance_between"].sel(space="mean")
    forward = between.sel(bottleneck=2, seed=1, other_bottleneck=3, other_seed=0)
    backward = between.sel(bottleneck=3, seed=0, other_bottleneck=2, other_seed=1)
    np.testing.assert_allclose((forward, backward), expected, rtol=1e-6)
    itself = between.sel(bottleneck=3, seed=0, other_bottleneck=3, other_seed=0)
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
    pixels = matplotlib.image.imread(out / "figures" / f"{name}.png")[..., :3]
    height, width, _ = pixels.shape
    assert min(height, width) > 300
    assert len(np.unique((pixels * 255).astype(int).reshape(-1, 3), axis=0)) > 20
    assert 0.005 < np.mean(np.any(pixels < 0.9, axis=-1)) < 0.9


def test_the_terminal_shows_a_row_per_bottleneck_and_the_sentence(finished):
    shown = finished[1]
    assert "4 of 4 runs to do, 1 program; about 1 minute on this machine" in shown
    rows = [line.split()[0] for line in shown.splitlines() if line.startswith((" 2 ", " 3 "))]
    assert rows == ["2", "3"]
    assert "enough" in shown.split("──")[-1]
    assert str(finished[0] / "records.nc") in shown


def test_the_summary_holds_the_table_and_the_null(out):
    summary = (out / "summary.md").read_text()
    assert "| K | ID input | ID mean | ID sample | (null) |" in summary
    assert "| 3 |" in summary


# --- run again ------------------------------------------------------------------------


def test_more_bottlenecks_leave_finished_runs_as_they_are(copy):
    before = {size_seed: record_times(unit(copy, *size_seed)) for size_seed in UNITS}
    shown = sweep(dataclasses.replace(SWEEP, bottlenecks=(2, 3, 4)), copy)
    assert "2 of 6 runs to do, 1 program;" in shown
    assert {size_seed: record_times(unit(copy, *size_seed)) for size_seed in UNITS} == before
    names = ["end.npz", "epoch-0000.npz", "epoch-0001.npz", "epoch-0012.npz"]
    for size, seed in (*UNITS, (4, 0), (4, 1)):
        assert sorted(record_times(unit(copy, size, seed))) == names


def test_a_finished_sweep_is_only_redrawn(copy):
    before = {size_seed: record_times(unit(copy, *size_seed)) for size_seed in UNITS}
    shutil.rmtree(copy / "figures")
    shown = sweep(SWEEP, copy)
    assert {size_seed: record_times(unit(copy, *size_seed)) for size_seed in UNITS} == before
    assert "to do" not in shown
    assert sorted(path.stem for path in (copy / "figures").iterdir()) == sorted(FIGURES)


def test_a_sweep_of_old_that_lacks_what_is_recorded_at_the_end_is_completed(copy, out):
    for size, seed in UNITS:
        (unit(copy, size, seed) / "end.npz").unlink()
    before = record_times(unit(copy, 3, 1))
    assert "4 of 4 runs to do" in sweep(SWEEP, copy)
    assert_same_records(copy, out)
    after = record_times(unit(copy, 3, 1))
    assert {name for name in before if after[name] != before[name]} == {"epoch-0012.npz"}
    assert "end.npz" in after


def test_the_settings_are_those_of_the_records(copy):
    shown = sweep(FIRST, copy)
    assert "to do" not in shown
    assert '"seeds": 1' in (copy / "config.json").read_text()
    with xr.open_dataset(copy / "records.nc") as records:
        assert records.sizes["seed"] == 1


@pytest.mark.parametrize("changed", [{"epochs": 13}, {"points": 99}, {"learning_rate": 0.1}])
def test_other_settings_in_the_same_folder_are_refused(out, changed):
    with pytest.raises(ValueError, match=f"{next(iter(changed))} .* choose another --out"):
        sweep(dataclasses.replace(SWEEP, **changed), out)


@pytest.mark.parametrize("epoch", [0, 12])
def test_a_record_that_was_lost_is_made_again_as_it_was(copy, out, epoch):
    (unit(copy, 3, 1) / f"epoch-{epoch:04d}.npz").unlink()
    sweep(SWEEP, copy)
    assert_same_records(copy, out)


def test_a_damaged_record_is_named_and_made_again_as_it_was(copy, out, caplog):
    torn, flipped, other, pickled = (
        unit(copy, 2, 1) / "epoch-0012.npz",
        unit(copy, 2, 0) / "epoch-0012.npz",
        unit(copy, 3, 1) / "epoch-0012.npz",
        unit(copy, 3, 0) / "epoch-0012.npz",
    )
    torn.write_bytes(torn.read_bytes()[:700])
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    np.savez(other, layer=["input"])
    np.savez(pickled, layer=np.array([None]))
    sweep(SWEEP, copy)
    assert_same_records(copy, out)
    for path in (torn, flipped, other, pickled):
        assert caplog.text.count(str(path)) == 1


@pytest.mark.parametrize("text", ["", "{}", '[["x", 1]]'])
def test_a_group_whose_list_is_damaged_is_named_and_its_runs_are_there(copy, out, caplog, text):
    (copy / "groups" / "bottleneck-2_seed-0" / "members.json").write_text(text)
    (unit(copy, 2, 0) / "epoch-0012.npz").unlink()
    sweep(SWEEP, copy)
    assert_same_records(copy, out)
    assert "members.json cannot be read" in caplog.text


def test_a_group_that_lost_its_state_starts_again(copy, out):
    for state in (copy / "groups" / "bottleneck-2_seed-0").glob("step-*"):
        shutil.rmtree(state)
    (unit(copy, 2, 0) / "epoch-0012.npz").unlink()
    sweep(SWEEP, copy)
    assert_same_records(copy, out)


def test_models_larger_than_the_memory_are_refused_before_anything_is_allocated(tmp_path):
    with pytest.raises(ValueError, match="choose a smaller network or batch"):
        sweep(dataclasses.replace(SWEEP, bottlenecks=(10**9,)), tmp_path)


# --- killed ---------------------------------------------------------------------------


def test_a_sweep_that_was_killed_ends_with_the_records_of_one_that_was_not(tmp_path, out):
    first_run = unit(Path(), 2, 0)
    words, first = command("bottleneck", SWEEP, tmp_path), tmp_path / first_run / "epoch-0001.npz"
    status, _ = stop(words, signal.SIGKILL, after=first)
    assert status == -signal.SIGKILL
    assert not (tmp_path / first_run / "epoch-0012.npz").exists(), "the run was killed too late"
    sweep(SWEEP, tmp_path)
    assert_same_records(tmp_path, out)


def test_a_sweep_that_was_interrupted_says_how_to_go_on(tmp_path):
    words = command("bottleneck", SWEEP, tmp_path)
    status, shown = stop(words, signal.SIGINT, after=tmp_path / "config.json")
    assert status == 130
    assert "Interrupted. The same command resumes where it stopped." in shown
    assert "Traceback" not in shown


# --- divergence -----------------------------------------------------------------------


def test_a_sweep_of_which_every_run_diverges_says_so(tmp_path):
    # One step: its loss is that before the update, and finite.
    config = dataclasses.replace(
        FIRST, learning_rate=1e30, epochs=1, snapshots=(0,), batch_size=512
    )
    with pytest.raises(ValueError, match="of which no run failed, got none"):
        sweep(config, tmp_path)
    with xr.open_dataset(tmp_path / "records.nc") as records:
        assert records["failed"].values.tolist() == [[[False, True]]]
        assert np.isfinite(records["reconstruction"].values).tolist() == [[[True, False]]]
        assert np.isnan(records["intrinsic_dimension"].isel(epoch=-1)).all()


def test_a_model_that_failed_is_compared_with_none():
    random, names = np.random.default_rng(0), ("scale_dimension", "scale_radius")
    records = xr.Dataset(
        coords={"bottleneck": [2, 3], "seed": [0, 1], "layer": ["input", "mean"]},
        attrs={"points": 30},
    )
    ends = {
        Run(size, seed): {
            "far_neighbor": np.array([2, 4, 8, 16]),
            **{name: np.ones((2, 4)) for name in (*names, "scale_dimension_stderr")},
            **{name: random.normal(size=(30, size)) for name in ("mean", "sample")},
        }
        for size, seed in ((2, 0), (2, 1), (3, 0))
    }
    found = with_ends(records, ends)["imbalance_between"]
    failed = {"bottleneck": 3, "seed": 1}
    assert np.isnan(found.sel(failed)).all()
    assert np.isnan(found.sel(other_bottleneck=3, other_seed=1)).all()
    assert int(np.isfinite(found).sum()) == 2 * 3 * 3
    assert np.isnan(with_ends(records, ends)["scale_dimension"].sel(failed)).all()
    assert with_ends(records, {}) is records


def test_a_run_that_failed_is_named_and_left_out(copy):
    file = unit(copy, 3, 1) / "epoch-0012.npz"
    with np.load(file) as record:
        lost = {name: record[name] for name in record}
    kept = ("layer", "example_input")
    lost |= {name: np.full_like(v, np.nan, float) for name, v in lost.items() if name not in kept}
    np.savez(file, **lost | {"failed": np.array(True)})
    shown = sweep(SWEEP, copy)
    assert "failed: K = 3, seed 1; their seeds are left out below" in shown
    assert "epoch 12, 1 seed " in shown
    with xr.open_dataset(copy / "records.nc") as records:
        assert records.sizes["seed"] == 2
