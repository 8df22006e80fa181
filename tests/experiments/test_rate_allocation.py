"""The grid of betas from end to end, at the smallest size that has all of its parts."""

import dataclasses
import io
import shutil
import threading

import jax
import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from experiments.rate_allocation import PRESETS, Config, report
from experiments.rate_allocation.collapse import collapse_watch
from experiments.rate_allocation.config import GridModel, grid_models
from experiments.rate_allocation.judge import JUDGE, judge_of
from experiments.rate_allocation.protocol_report import draw_baseline
from experiments.rate_allocation.runs import BASELINE, baseline_of, runs, shared_run
from jaxvae.analysis import CollapseWarning
from jaxvae.runs.building import build_model
from jaxvae.runs.sweep_run import run_file
from jaxvae.sweeps.claims import claim
from jaxvae.sweeps.job import Job
from jaxvae.sweeps.launch import run
from jaxvae.sweeps.launch_options import Launch
from jaxvae.sweeps.records import read_run
from jaxvae.sweeps.sweep import CLAIMS
from jaxvae.sweeps.units import units_of
from tests.experiments.figures import drawn
from tests.runs.states import assert_can_be_trained
from tests.tiers import parametrize

GRID = Config(
    data="sprites",
    image_size=28,
    train_size=256,
    test_size=60,
    channels=4,
    top=3,
    beta_top=(0.3, 3.0),
    beta_bottom=(0.5, 2.0),
    epochs=4,
    snapshots=(1,),
    beta_warmup=0.25,
    batch_size=32,
    points=60,
    labeled=60,
    samples=40,
    judge_epochs=1,
)
LINE = dataclasses.replace(GRID, beta_bottom=(0.5,))
# A unit for every cell: one program, however many are lacking.
PLAIN = Launch(members=1)
# The share of one process of one, which draws nothing.
ONLY_TRAINED = Launch(members=1, shard=(0, 1))


def job(config, out, launch=PLAIN):
    members = launch.members or PLAIN.members
    return Job("experiments.rate_allocation.sweep:EXPERIMENT", config, out, members)


def grid(config, out, launch=PLAIN):
    """Run and return what the terminal shows."""
    shown = io.StringIO()
    run(
        job(config, out, launch),
        launch,
        Console(file=shown, width=80, highlight=False, markup=False),
    )
    return shown.getvalue()


def assert_same_records(out, expected):
    """Bitwise; assert_array_equal takes NaN for equal to NaN."""
    for model in grid_models(GRID):
        one, other = read_run(expected, model.name), read_run(out, model.name)
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=f"{model.name} {name}")


def files_of(folder):
    """All files of a folder, and when they were written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of the grid, and what the terminal showed."""
    out = tmp_path_factory.mktemp("rates") / "grid"
    return out, grid(GRID, out)


@pytest.fixture(scope="module")
def records(finished):
    with xr.open_dataset(finished[0] / "records.nc") as opened:
        return opened.load()


@pytest.fixture
def undrawn(monkeypatch):
    """Reports have no figures here, which other tests draw."""
    monkeypatch.setattr(report, "draw_rate_figures", lambda records, every_use, folder: [])


@pytest.fixture
def copy(finished, tmp_path):
    """The finished grid, to be damaged."""
    return shutil.copytree(finished[0], tmp_path / "grid")


# --- records --------------------------------------------------------------------------


@pytest.mark.slow
def test_records_are_labelled(records):
    assert records["beta_top"].values.tolist() == [0.3, 3.0]
    assert records["beta_bottom"].values.tolist() == [0.5, 2.0]
    assert records["seed"].values.tolist() == [0]
    assert records["epoch"].values.tolist() == [1, 4]
    assert records["layer"].values.tolist() == ["z_2", "z_1"]
    assert records["kind"].values.tolist() == ["sample", "mean"]
    assert records["size"].values.tolist() == [3, 64]


@pytest.mark.slow
def test_every_recorded_value_of_a_grid_without_failures_is_finite(records):
    assert not records["failed"].any()
    for name, values in records.items():
        # A mismatch is not known where the information is near its limit.
        if values.dtype.kind == "f" and not name.startswith("top_mismatch"):
            assert np.isfinite(values).all(), name


@pytest.mark.slow
def test_a_cell_is_where_its_betas_say(finished, records):
    for model in grid_models(GRID):
        here = records["rates"].sel(**model._asdict())
        np.testing.assert_array_equal(here, read_run(finished[0], model.name)["rates"])


@pytest.mark.slow
def test_rates_are_not_negative_and_fall_with_their_beta(records):
    rates = records["rates"].isel(epoch=-1, seed=0)
    assert float(rates.min()) >= 0
    top = rates.sel(layer="z_2").mean("beta_bottom")
    bottom = rates.sel(layer="z_1").mean("beta_top")
    assert float(top[0]) > float(top[-1])
    assert float(bottom[0]) > float(bottom[-1])


@pytest.mark.slow
def test_no_sample_is_classified_better_than_its_bound(records):
    excess = records["accuracy"] - records["accuracy_bound"] - 3 * records["accuracy_stderr"]
    assert float(excess.sel(kind="sample").max()) <= 0


@pytest.mark.slow
def test_what_is_recorded_of_images_has_the_means_that_are_recorded(records):
    right = records["image_right"].mean("image")
    np.testing.assert_allclose(right, records["accuracy"].sel(kind="sample"), rtol=1e-6)
    known = records["image_rates"].mean("image").cumsum("layer")
    np.testing.assert_allclose(known, records["known_information"], rtol=1e-5)
    score = np.exp(records["generated_information"].mean("generated"))
    np.testing.assert_allclose(score, records["inception_score"], rtol=1e-5)
    assert records.sizes["image"] == GRID.points
    assert records.sizes["generated"] == GRID.samples
    assert records["converged"].all()
    errors = (records[f"{name}_stderr"] for name in ("accuracy_bound", "top_accuracy_bound"))
    assert all(bool((error >= 0).all()) for error in errors)


@pytest.mark.slow
def test_the_rate_of_the_top_layer_is_what_it_knows_and_its_mismatch(records):
    # Both are of one sample of every image, the rate in closed form and over more images.
    whole = records["rates"].isel(epoch=-1).sel(layer="z_2")
    parts = records["top_information"] + records["top_mismatch"]
    errors = np.hypot(records["top_information_stderr"], records["top_mismatch_stderr"])
    known = records["top_mismatch"].notnull()
    assert known.any()
    assert (abs(whole - parts) < 4 * errors + 0.1 * whole).where(known, True).all()


@pytest.mark.slow
def test_the_score_of_samples_is_their_diversity_times_their_sharpness(records):
    product = records["diversity"] * records["sharpness"]
    np.testing.assert_allclose(records["inception_score"], product, rtol=1e-5)
    assert float(records["inception_score"].min()) >= 1
    assert float(records["inception_score"].max()) <= 3


@pytest.mark.slow
def test_what_the_paper_measures_stands_beside(records):
    assert records["split_accuracy"].sizes["classifier"] == 4
    for name in ("split_accuracy", "reconstruction_accuracy"):
        assert 0 <= float(records[name].min()) <= float(records[name].max()) <= 1
    # Of parts of 8 samples: lower than the score of all 40 on average.
    assert float(records["split_score"].mean()) < float(records["inception_score"].mean())
    assert float(records["split_score"].min()) >= 1


# --- figures, tables and sentences ----------------------------------------------------

FIGURES = (
    "rate_plane",
    "accuracy",
    "rate_distortion",
    "training",
    "layers",
    "geometry",
    "examples",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_and_not_blank(finished, name):
    pixels, colors = drawn(finished[0] / "figures" / f"{name}.png")
    assert min(pixels.shape[:2]) > 250
    assert colors > 20


@pytest.mark.slow
def test_the_terminal_shows_the_best_cells_and_what_was_claimed(finished):
    out, shown = finished
    assert "4 of 4 runs to do, in 4 units" in shown
    assert "Generated images are judged by a classifier with accuracy" in shown
    for use in ("reconstruction", "compression", "generation"):
        assert f"\n {use} " in shown
    assert "Bound of accuracy" in shown
    assert "With one seed it is unknown" in " ".join(shown.split())
    assert "EXCEEDED" not in shown
    assert "Of 4 runs 0 failed" in shown
    assert str(out / "records.nc") in shown


@pytest.mark.slow
def test_the_summary_holds_all_cells(finished):
    summary = (finished[0] / "summary.md").read_text()
    for part in summary.split("## As Xiao and Bamler measure"):
        assert part.count("\n| 0.3 | ") == 2
        assert part.count("\n| 3 | ") == 2


# --- other networks -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_deep_hierarchy_of_gray_images_goes_through_all_parts(tmp_path):
    deep = {"network": "deep", "blocks": (1,), "binarize": False}
    # With a beta of 1e3 no rate is worth its cost at this deviation.
    heavy = {"likelihood": "gaussian", "beta_top": (1e3,)}
    short = {"image_size": 8, "epochs": 1, "snapshots": (), "beta_warmup": 0.0}
    config = dataclasses.replace(LINE, **deep, **heavy, **short)
    shown = grid(config, tmp_path)
    with xr.open_dataset(tmp_path / "records.nc") as opened:
        records = opened.load()
    assert records["size"].values.tolist() == [8, 8 * 16, 8 * 64]
    assert not records["failed"].any()
    assert records["accuracy"].notnull().all()
    rates = records["rates"].isel(epoch=-1, seed=0, beta_bottom=0)
    assert float(rates.min()) >= 0
    signs = str(records["warnings"].isel(epoch=-1, seed=0, beta_bottom=0, beta_top=0).values)
    too_heavy = "beta times the variance of the likelihood is not below the largest eigenvalue"
    assert [f"{layer}: {too_heavy}" in signs for layer in ("z_3", "z_1")] == [True, False]
    # Of one model alone it is said during training.
    (line,) = [line for line in shown.splitlines() if too_heavy in line and ", epoch 1: " in line]
    assert line.startswith("top-1000.0_bottom-0.5_seed-0, epoch 1: z_3")


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_ladder_with_mixtures_of_logistics_is_measured_in_nats_of_256_gray_values(tmp_path):
    short = {"epochs": 1, "snapshots": (), "beta_top": (1.0,), "binarize": False}
    config = dataclasses.replace(LINE, network="ladder", likelihood="logistic_mixture", **short)
    assert "Of 1 run 0 failed" in grid(config, tmp_path)
    with xr.open_dataset(tmp_path / "records.nc") as opened:
        records = opened.load()
    assert np.isfinite(records["distortion"]).all()
    # Not those of black and white.
    assert float(records["distortion"].min()) > 784 * np.log(2)


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_one_layer_vaes_of_the_same_size_stand_beside_a_grid(copy, finished):
    config = dataclasses.replace(GRID, beta_top=(0.3,), beta_bottom=(2.0,), baseline=True)
    assert "2 of 3 runs to do, in 2 units" in grid(config, copy)
    assert_same_records(copy, finished[0])
    with xr.open_dataset(copy / "records.nc") as opened:
        records = opened.load()
    assert records["price"].values.tolist() == [0.3, 2.0]
    for model in grid_models(baseline_of(config)):
        found = float(records["baseline_rate"].sel(price=model.beta_top, seed=0))
        assert found == read_run(copy, BASELINE + model.name)["rates"][-1, 0]
    assert "## One-layer VAEs of the same size" in (copy / "summary.md").read_text()
    draw_baseline(records, copy / "baseline.png")
    assert (copy / "baseline.png").stat().st_size > 10_000
    # As far as they are done.
    run_file(copy, BASELINE + grid_models(baseline_of(config))[0].name).unlink()
    shown = grid(config, copy, Launch(report=True))
    assert "1 of 3 runs are not done, and missing below: baseline/top-0.3_bottom-1.0" in shown
    assert "\n| 0.3 |" not in (copy / "summary.md").read_text().partition("## One-layer")[2]
    shutil.rmtree(copy / "runs" / "baseline")
    assert "2 of 3 runs are not done" in grid(config, copy, Launch(report=True))
    assert "## One-layer" not in (copy / "summary.md").read_text()


# --- run again, killed, failed --------------------------------------------------------


@pytest.mark.slow
def test_a_finished_grid_is_only_redrawn_and_needs_no_judge(copy):
    before = files_of(copy / "runs")
    shutil.rmtree(copy / "figures")
    shutil.rmtree(copy / JUDGE)
    assert "to do" not in grid(GRID, copy)
    assert files_of(copy / "runs") == before
    assert sorted(path.stem for path in (copy / "figures").iterdir()) == sorted(FIGURES)
    assert not (copy / JUDGE).exists()


@pytest.mark.slow
def test_more_betas_ask_for_the_new_cells_alone(finished):
    more, (out, _) = dataclasses.replace(GRID, beta_bottom=(0.5, 1.0, 2.0)), finished
    assert job(more, out).open()[1].missing() == [
        "top-0.3_bottom-1.0_seed-0",
        "top-3.0_bottom-1.0_seed-0",
    ]
    assert "2 of 6 units to do" in grid(more, out, Launch(plan=True))


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_more_seeds_let_cells_be_compared_and_leave_finished_ones_as_they_are(copy, finished):
    judge = files_of(copy / JUDGE)
    shown = grid(dataclasses.replace(LINE, seeds=(0, 1)), copy)
    assert "2 of 4 runs to do" in shown
    words = " ".join(shown.split())
    assert "Cells that cannot be told from the best, over 2 seeds" in words
    assert "±" in (copy / "summary.md").read_text()
    assert_same_records(copy, finished[0])
    assert files_of(copy / JUDGE) == judge
    # A seed of which nothing is done does not take the others' place.
    more = dataclasses.replace(LINE, seeds=(0, 1, 5))
    shown = grid(more, copy, Launch(report=True))
    assert "2 of 6 runs are not done, and missing below: top-0.3_bottom-0.5_seed-5" in shown
    assert "over 2 seeds" in " ".join(shown.split())


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_cells_that_are_not_done_are_named_and_left_out(copy):
    first = grid_models(GRID)[0]
    run_file(copy, first.name).unlink()
    shown = " ".join(grid(GRID, copy, Launch(report=True)).split())
    assert f"1 of 4 runs are not done, and missing below: {first.name}" in shown
    assert "1 of 4 runs are not done; what follows is about the others" in shown
    assert "Of 3 runs 0 failed" in shown
    with xr.open_dataset(copy / "records.nc") as records:
        assert records["missing"].sum() == 1
        assert np.isnan(records["rates"].sel(beta_top=0.3, beta_bottom=0.5)).all()
        assert np.isfinite(records["accuracy"].sel(beta_top=3.0)).all()
        assert len(records["corner"]) == 3
    (table,) = (copy / "summary.md").read_text().split("## As Xiao")[0].split("## All cells")[1:]
    assert table.count("\n| 0.3 | ") == 1
    shutil.rmtree(copy / "runs")
    with pytest.raises(ValueError, match="to report on, found none"):
        grid(GRID, copy, Launch(report=True))


@pytest.mark.slow
def test_records_that_were_torn_are_made_again_as_they_were_with_the_judge_that_there_is(
    copy, finished
):
    judge = files_of(copy / JUDGE)
    for model in grid_models(GRID)[1:3]:
        path = run_file(copy, model.name)
        path.write_bytes(path.read_bytes()[:700])
    assert "2 of 4 runs to do, in 2 units" in grid(GRID, copy, ONLY_TRAINED)
    assert_same_records(copy, finished[0])
    assert files_of(copy / JUDGE) == judge


@pytest.mark.slow
def test_a_judge_that_another_process_trains_is_waited_for_and_read(tmp_path, finished):
    found, snapshot = [], finished[0] / JUDGE
    with claim(tmp_path / CLAIMS, JUDGE):
        waiting = threading.Thread(target=lambda: found.append(judge_of(GRID, tmp_path)))
        waiting.start()
        shutil.copytree(snapshot, tmp_path / JUDGE)
    waiting.join()
    ((_, params, accuracy),) = found
    jax.tree.map(np.testing.assert_array_equal, params, judge_of(GRID, finished[0]).params)
    record = read_run(finished[0], grid_models(GRID)[0].name)
    assert accuracy == (record["judge_accuracy"], record["judge_accuracy_stderr"])
    assert sorted(path.name for path in (tmp_path / JUDGE).iterdir()) == sorted(
        path.name for path in snapshot.iterdir()
    )


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_cell_that_failed_is_left_out(copy, records):
    file, at_end = run_file(copy, grid_models(GRID)[0].name), set(records.data_vars)
    at_end -= {name for name, values in records.items() if "epoch" in values.dims} | {"size"}
    lost = {
        name: np.full_like(one, np.nan) if name in records and one.dtype.kind == "f" else one
        for name, one in read_run(copy, grid_models(GRID)[0].name).items()
        if name not in at_end
    }
    np.savez(file, **lost | {"failed": np.array([False, True]), "warnings": np.array(["", ""])})
    assert "Of 4 runs 1 failed" in grid(GRID, copy)
    with xr.open_dataset(copy / "records.nc") as found:
        assert np.isnan(found["accuracy"].sel(beta_top=0.3, beta_bottom=0.5)).all()
        assert np.isfinite(found["accuracy"].sel(beta_top=3.0)).all()


@pytest.mark.slow
def test_a_grid_of_which_every_cell_fails_says_so(tmp_path):
    config = dataclasses.replace(LINE, learning_rate=1e30)
    with pytest.raises(ValueError, match="a cell that is done and did not fail, got none"):
        grid(config, tmp_path)


# --- signs of collapse ----------------------------------------------------------------


def watched(config=GRID):
    """A watch of a grid, and the lines that it says."""
    said, watch = [], collapse_watch(config)
    return lambda run, epoch, signs: watch(run, epoch, signs, said.append), said


LOW = CollapseWarning("z_1", "it knows little", 0.25, "pay less")


def test_signs_are_recorded_with_what_to_try():
    see, _ = watched()
    for _ in range(2):
        assert see("one", 4, [LOW, LOW._replace(layer="z_2")]) == (
            "z_1: it knows little (0.25): pay less\nz_2: it knows little (0.25): pay less"
        )


def test_a_sign_is_said_once_for_every_run_and_what_to_try_once_for_all():
    see, said = watched()
    for epoch in (2, 3):
        see("one", epoch, [LOW])
        see("two", epoch, [LOW._replace(measured=0.5)] * (epoch > 2))
    assert said == [
        "one, epoch 2: z_1: it knows little: pay less",
        "two, epoch 3: z_1: it knows little",
    ]


def test_layers_that_show_the_same_are_said_together():
    see, said = watched()
    see("one", 4, [LOW._replace(layer="z_2"), LOW, LOW._replace(condition="it knows all")])
    assert said == [
        "one, epoch 4: z_2, z_1: it knows little: pay less",
        "one, epoch 4: z_1: it knows all: pay less",
    ]


@pytest.mark.parametrize(
    ("epochs", "warmup", "quiet"), [(8, 0.5, [1, 2, 3, 4]), (8, 0.0, [1]), (1, 1.0, [])]
)
def test_signs_wait_until_betas_have_grown_or_training_ends(epochs, warmup, quiet):
    see, said = watched(dataclasses.replace(GRID, epochs=epochs, beta_warmup=warmup))
    recorded = {epoch: see("one", epoch, [LOW]) for epoch in range(1, epochs + 1)}
    assert [epoch for epoch, text in recorded.items() if not text] == quiet
    assert len(said) == 1


# --- settings -------------------------------------------------------------------------


BESIDE = dataclasses.replace(GRID, baseline=True, seeds=(3, 5))


def test_every_model_of_a_grid_is_a_run_with_its_betas_and_its_seed():
    every = runs(BESIDE)
    assert len(every) == 2 * (4 + 4)
    grown = every["top-3.0_bottom-0.5_seed-5"]
    # Eight steps an epoch, of which betas grow over one.
    assert (grown.coefficients, grown.ramps, grown.seed) == ({"beta": (3.0, 0.5)}, {"beta": 8}, 5)
    # Two networks, and a unit for each.
    assert len(units_of(every, lambda _: (28, 28, 1))) == 2
    line = every["baseline/top-0.5_bottom-1.0_seed-3"]
    assert (line.network, line.coefficients) == ("one_layer_hvae", {"beta": 0.5})


@parametrize("name", ["top-3.0_bottom-0.5_seed-5", "baseline/top-0.5_bottom-1.0_seed-3"])
def test_runs_of_both_networks_can_be_trained(name):
    assert_can_be_trained(runs(BESIDE)[name], (28, 28, 1))


def test_a_ladder_with_mixtures_of_logistics_can_be_trained():
    mixture = {"network": "ladder", "likelihood": "logistic_mixture", "binarize": False}
    for each in runs(dataclasses.replace(LINE, **mixture)).values():
        assert (each.likelihood, each.binarize) == ("logistic_mixture", False)
        assert_can_be_trained(each, (28, 28, 1))


@pytest.mark.parametrize(
    ("changed", "network", "options"),
    [
        ({}, "two_layer_hvae", {"channels": 4, "top": 3, "ladder": False}),
        ({"network": "ladder"}, "two_layer_hvae", {"channels": 4, "top": 3, "ladder": True}),
        ({"network": "deep"}, "deep_hvae", {"channels": 4, "blocks": [3]}),
    ],
)
def test_a_network_is_told_by_its_name_and_options(changed, network, options):
    found = shared_run(dataclasses.replace(GRID, **changed), (28, 28, 1), steps=10)
    assert (found.network, found.options, found.likelihood_options) == (network, options, {})
    gray = dataclasses.replace(
        GRID, **changed, likelihood="gaussian", binarize=False, beta_warmup=0.0
    )
    found = shared_run(gray, (28, 28, 1), steps=10)
    assert found.likelihood_options == {"standard_deviation": 0.71}
    assert (found.binarize, found.ramps) == (False, {})


def test_betas_go_evenly_in_ratio_from_the_top_to_the_bottom():
    np.testing.assert_allclose(GridModel(0.1, 10.0, 0).betas(3), [0.1, 1, 10], rtol=1e-12)
    assert GridModel(0.5, 2.154435, 0).betas(2) == (0.5, 2.154435)
    # Not 0.29999999999999993.
    assert set(GridModel(0.3, 0.3, 0).betas(12)) == {0.3}


def test_the_grid_of_the_paper_has_a_tenth_of_a_decade_between_betas():
    paper = PRESETS["paper-mnist"]
    assert len(grid_models(paper)) == 441
    np.testing.assert_allclose(np.diff(np.log10(paper.beta_top)), 0.1, atol=1e-4)
    assert 1.0 in paper.beta_top


def network(config, image_shape):
    return build_model(shared_run(config, image_shape, steps=100), image_shape)


def size(config, image_shape):
    shapes = jax.eval_shape(network(config, image_shape).init, jax.random.key(0)).params
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


@parametrize(
    ("preset", "image_shape", "parameters"),
    [("paper-mnist", (28, 28, 1), 122_713), ("paper-cifar10", (32, 32, 3), 475_811)],
)
def test_the_networks_of_the_paper_have_its_parameters(preset, image_shape, parameters):
    assert size(PRESETS[preset], image_shape) == parameters


def test_the_network_beside_the_paper_has_as_many_parameters():
    paper = PRESETS["paper-mnist"]
    one, two = (size(config, (28, 28, 1)) for config in (baseline_of(paper), paper))
    assert one == pytest.approx(two, rel=0.02)


def test_one_layer_vaes_are_trained_at_all_betas_of_the_grid():
    line = baseline_of(dataclasses.replace(GRID, baseline=True))
    assert (line.beta_top, line.beta_bottom) == ((0.3, 0.5, 2.0, 3.0), (1.0,))
    assert [model.betas(1) for model in grid_models(line)] == [(0.3,), (0.5,), (2.0,), (3.0,)]


def test_the_ladders_of_the_paper_warm_up_over_a_fifth():
    for name in ("paper-mnist-ladder", "paper-cifar10-ladder"):
        ladder = PRESETS[name]
        assert (ladder.network, ladder.beta_warmup, len(grid_models(ladder))) == (
            "ladder",
            0.2,
            441,
        )
    assert PRESETS["paper-cifar10-mixture"].likelihood == "logistic_mixture"


def test_the_deep_preset_has_at_least_ten_layers():
    assert len(network(PRESETS["deep"], (28, 28, 1)).shapes) >= 10


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"network": "flat"}, "--network among two_layer, ladder, deep, one_layer, got flat"),
        (
            {"likelihood": "poisson"},
            "--likelihood among bernoulli, gaussian, logistic_mixture, got",
        ),
        ({"beta_top": (0.0, 1.0)}, "--beta-top of at least one finite, positive beta"),
        ({"beta_bottom": ()}, "--beta-bottom of at least one finite, positive beta"),
        ({"baseline": True, "network": "deep"}, "--baseline with --network two_layer alone"),
        ({"beta_warmup": 2.0}, "--beta-warmup from 0 to 1, got 2"),
        ({"points": 5}, "--points of at least 20, got 5"),
        ({"seeds": ()}, "--seeds of at least one, got"),
        ({"learning_rate": float("nan")}, "--learning-rate finite and positive"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(GRID, **changed)


@parametrize(
    ("changed", "message"),
    [
        ({"points": 61}, "--points up to the 60 images"),
        ({"labeled": 257}, "--labeled up to the 256 images"),
        ({"image_size": 20}, "28 x 28 or 32 x 32"),
        ({"image_size": 30, "network": "deep"}, "multiples of 4"),
    ],
    quick=3,
)
def test_what_does_not_fit_the_data_leaves_nothing_behind(tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        grid(dataclasses.replace(GRID, **changed), tmp_path / "out")
    assert not (tmp_path / "out").exists()
