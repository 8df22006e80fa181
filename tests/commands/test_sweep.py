"""`jaxvae sweep`: its runs, what it leaves, how it is extended, and what it refuses."""

import json
import shutil

import jax
import numpy as np
import pytest
import xarray as xr

from jaxvae.cli import _parser, main
from jaxvae.commands.arguments.launch import take_launch
from jaxvae.commands.settings import given_config
from jaxvae.commands.sweep import given_grid
from jaxvae.grids.grid import runs_of
from jaxvae.runs.saved import open_run
from tests.commands.refusals import assert_refused

pytestmark = pytest.mark.usefixtures("own_images")

DATA = ["--data", "images.npy", "--image-size", "16", "--train-size", "200"]
SMALL = [*DATA, "--network", "dense_vae", "--option", "widths=16", "--epochs", "2"]
SWEEP = ["--latents", "2,3", "--coefficient", "beta=1,4", "--seeds", "1", "--points", "25"]


def runs(*words):
    given = _parser().parse_args(["sweep", "--out", "absent", *words])
    take_launch(given)
    return runs_of(given_grid(given))


def one(*words):
    """What `jaxvae train` makes of its words."""
    return given_config(_parser().parse_args(["train", "--out", "absent", *words]))


# --- which runs -----------------------------------------------------------------------


def test_runs_are_all_combinations_named_by_what_varies_and_the_seed():
    found = runs(*SMALL, "--latents", "4,2", "--coefficient", "beta=1,4", "--seeds", "0..1,7")
    sizes = [(latents, beta, seed) for latents in (2, 4) for beta in (1, 4) for seed in (0, 1, 7)]
    assert [*found] == [f"latents-{k}_beta-{beta}_seed-{seed}" for k, beta, seed in sizes]
    for config, (latents, beta, seed) in zip(found.values(), sizes, strict=True):
        words = ["--latents", str(latents), "--coefficient", f"beta={beta}", "--seed", str(seed)]
        assert config == one(*SMALL, *words)


def test_the_numbers_of_one_value_have_slashes_between_them():
    found = runs("--network", "two_layer_hvae", "--coefficient", "beta=0.5/1,1", "free=0/none")
    assert [*found] == ["beta-0.5,1_free-0,none_seed-0", "beta-1_free-0,none_seed-0"]
    words = ["--network", "two_layer_hvae", "--coefficient", "beta=0.5,1", "free=0,none"]
    assert found["beta-0.5,1_free-0,none_seed-0"] == one(*words)


def test_any_setting_may_vary():
    words = ["--option", "widths=16/8,8", "--objective", "beta_vae,beta_tc_vae"]
    found = runs("--network", "dense_vae", "--learning-rate", "1e-3,3e-4", "--binarize", *words)
    assert len(found) == 8
    config = found["objective-beta_tc_vae_learning-rate-0.0003_widths-16,8_seed-0"]
    words = ["--option", "widths=16,8", "--objective", "beta_tc_vae", "--binarize"]
    assert config == one("--network", "dense_vae", "--learning-rate", "3e-4", *words)


def test_what_does_not_vary_is_in_no_name():
    assert [*runs("--network", "dense_vae", "--learning-rate", "1e-3")] == ["seed-0"]


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--coefficient", "beta=1,4", "gamma=1"],
            "coefficients of beta_vae among beta; got gamma",
        ),
        (["--coefficient", "beta=1,-4"], "got -4"),
        (["--coefficient", "beta=1/2"], "expected one number, as beta of dense_vae"),
        (["--coefficient", "beta=1", "beta=2"], "expected one --coefficient beta, got also beta=2"),
        (["--coefficient", "beta="], "expected --coefficient NAME=VALUE, got beta="),
        (["--coefficient", "beta=1,x"], "expected --coefficient NAME=VALUE, got beta=x"),
        (["--latents", "0,2"], "expected latents of at least 1, got 0"),
        (
            ["--network", "two_layer_hvae", "--latents", "2"],
            "among channels, top, ladder; got width",
        ),
        (["--objective", "beta_vae,no_such"], "got 'no_such'"),
        (["--points", "2"], "expected --points of at least 3, or 0 to measure no geometry, got 2"),
        (["--snapshots", "3"], "expected 1 to 2 snapshots of 2 epochs, got 3"),
        (["--batch-size", "64,500"], "500"),
        (["--data", "images.npy,no_such_set"], "got 'no_such_set'"),
        (["--report"], "expected runs in"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_would_fail_later_has_status_2_one_line_and_leaves_nothing(
    tmp_path, capsys, words, message
):
    assert_refused(["sweep", *SMALL, "--out", tmp_path / "new", *words], message, capsys)
    assert list(tmp_path.iterdir()) == []


def test_latents_of_a_hierarchy_are_refused(tmp_path, capsys):
    words = [*DATA, "--image-size", "32", "--network", "two_layer_hvae"]
    assert main(["sweep", *words, "--latents", "2,4", "--out", str(tmp_path / "new")]) == 2
    assert "expected no latents for two_layer_hvae" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_sweep_is_no_run_but_says_which_it_has(tmp_path, capsys):
    (tmp_path / "runs").mkdir()
    for seed in range(5):
        (tmp_path / "runs" / f"beta-0.5_seed-{seed}.npz").touch()
    (tmp_path / "config.json").write_text("{}")
    for folder in (tmp_path, tmp_path / "no_such_run"):
        assert main(["capture", str(folder), "--out", str(tmp_path / "taps")]) == 2
        said = capsys.readouterr().err
        assert "runs beta-0.5_seed-0, beta-0.5_seed-1, beta-0.5_seed-2 and 2 more" in said


# --- from end to end ------------------------------------------------------------------


@pytest.fixture(scope="module")
def out(own_images, tmp_path_factory):
    """Four runs, each in a unit of its own."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    assert main(["sweep", *SMALL, *SWEEP, "--members", "1", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def together(own_images, tmp_path_factory):
    """The same runs in one unit."""
    out = tmp_path_factory.mktemp("sweep") / "together"
    assert main(["sweep", *SMALL, *SWEEP, "--out", str(out)]) == 0
    assert len(list((out / "units").iterdir())) == 1
    return out


@pytest.fixture(scope="module")
def trained(own_images, tmp_path_factory):
    """One of its runs, by `jaxvae train`."""
    out = tmp_path_factory.mktemp("train") / "run"
    words = ["--latents", "3", "--coefficient", "beta=4", "--seed", "1", "--out", str(out)]
    assert main(["train", *SMALL, *words]) == 0
    return out


@pytest.mark.slow
def test_records_have_a_dimension_for_every_setting_then_seed_and_epoch(out):
    with xr.open_dataset(out / "records.nc") as records:
        assert records["imbalance"].dims[:4] == ("latents", "beta", "seed", "epoch")
        assert records["latents"].values.tolist() == [2, 3]
        assert records["beta"].values.tolist() == [1.0, 4.0]
        assert not records["missing"].any()
        assert not records["failed"].any()
        assert all(np.isfinite(each).all() for each in records.data_vars.values())


@pytest.mark.slow
def test_a_run_of_a_sweep_is_to_the_bit_the_run_that_train_trains(out, trained):
    name = "latents-3_beta-4_seed-1"
    alone = open_run(trained)
    for path in (out / name, out / "runs" / name, out / "runs" / f"{name}.npz"):
        found = open_run(path)
        assert found.config == alone.config
        # The unit has this one member; of several, the numbers are those of other programs.
        jax.tree.map(np.testing.assert_array_equal, found.variables, alone.variables)
    held_out = json.loads((trained / "held_out.json").read_text())
    with xr.open_dataset(out / "records.nc") as records:
        run = records.sel(latents=3, beta=4, seed=1, epoch=2)
        assert float(run["reconstruction"]) == held_out["reconstruction"]["value"]
        (rate,) = (each["value"] for name, each in held_out.items() if name.startswith("rate"))
        assert float(run["rate"][0]) == rate


def test_the_errors_of_costs_over_images_are_recorded_for_both_sets(out):
    with xr.open_dataset(out / "records.nc") as records:
        for name in ("cost_stderr", "training_cost_stderr"):
            assert records[name].dims == records["training_cost"].dims
            assert (records[name] > 0).all()
        # No more than where distortion and rate rise and fall together.
        most = records["reconstruction_stderr"] + records["kl_stderr"]
        assert (records["cost_stderr"] <= most * (1 + 1e-6)).all()


@pytest.mark.slow
def test_models_of_one_unit_are_those_of_units_of_their_own(out, together):
    for name in runs(*SMALL, *SWEEP):
        one, alone = open_run(together / name), open_run(out / name)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
            one.variables,
            alone.variables,
        )


@pytest.mark.slow
def test_runs_that_share_a_unit_are_measured_as_they_are_alone(out, together):
    one, alone = (xr.open_dataset(each / "records.nc").load() for each in (together, out))
    for name in ("reconstruction", "kl", "intrinsic_dimension"):
        np.testing.assert_allclose(one[name], alone[name], rtol=1e-3, err_msg=name)


@pytest.mark.slow
def test_more_seeds_and_values_train_only_what_is_new(out, tmp_path, capsys):
    def times():
        return {path: path.stat().st_mtime_ns for path in (copy / "runs").glob("*.npz")}

    copy = shutil.copytree(out, tmp_path / "copy")
    before = times()
    words = ["--latents", "3", "--coefficient", "beta=4,8", "--seeds", "0..1", *SWEEP[-2:]]
    assert main(["sweep", *SMALL, *words, "--members", "1", "--out", str(copy)]) == 0
    shown = capsys.readouterr().out
    assert "3 of 4 runs to do" in shown
    (lowest,) = (line for line in shown.splitlines() if line.startswith("The lowest negative ELBO"))
    assert lowest in (copy / "summary.md").read_text()
    after = times()
    assert len(after) == 7
    assert {path: after[path] for path in before} == before


@pytest.mark.slow
def test_another_setting_is_refused_by_its_name(out, capsys):
    words = [*SMALL, *SWEEP, "--members", "1", "--learning-rate", "0.5"]
    assert main(["sweep", *words, "--out", str(out)]) == 2
    assert "run --learning-rate 0.0001 (now 0.5)" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_of_a_sweep_is_captured_and_drawn(out, tmp_path, capsys):
    run = out / "latents-2_beta-1_seed-1"
    assert main(["capture", str(run), "--out", str(tmp_path / "taps"), "--examples", "20"]) == 0
    assert "7 layers of 20 images at epoch 2" in capsys.readouterr().out
    assert main(["report", str(run), "--examples", "20"]) == 0
    assert len(list((run / "figures").glob("*.png"))) == 3


@pytest.mark.slow
def test_a_sweep_of_hierarchies_has_the_rates_of_every_layer(tmp_path, capsys):
    words = [*DATA, "--image-size", "28", "--network", "two_layer_hvae", "--epochs", "1"]
    words += ["--option", "channels=4", "top=3", "--coefficient", "beta=0.5/1,1/1"]
    out = tmp_path / "out"
    assert main(["sweep", *words, "--points", "25", "--out", str(out)]) == 0
    assert "z_2" in capsys.readouterr().out
    with xr.open_dataset(out / "records.nc") as records:
        assert records["beta"].values.tolist() == ["0.5,1", "1,1"]
        assert records["rate"].sel(latent_layer=["z_2", "z_1"]).shape == (2, 1, 1, 2)
        np.testing.assert_allclose(records["rate"].sum("latent_layer"), records["kl"], rtol=1e-6)


@pytest.mark.slow
def test_a_run_that_diverges_is_left_out_and_the_others_are_shown(tmp_path, capsys):
    words = [*SMALL, "--latents", "2", "--seeds", "0,1", "--points", "25"]
    out = str(tmp_path / "out")
    assert main(["sweep", *words, "--learning-rate", "1e-3,1e30", "--out", out]) == 0
    said = capsys.readouterr().out
    line = next(line for line in said.splitlines() if "failed, and left out below" in line)
    assert (line.count("1e+30"), line.count("0.001")) == (2, 0)
    with xr.open_dataset(tmp_path / "out" / "records.nc") as records:
        failed = records["failed"].any("epoch").transpose("learning_rate", "seed", ...)
        np.testing.assert_array_equal(failed.values.reshape(2, 2), [[False] * 2, [True] * 2])
        kept = records["intrinsic_dimension"].sel(learning_rate=1e-3)
        assert np.isfinite(kept).all()


@pytest.mark.slow
def test_where_every_run_diverges_that_is_said(tmp_path, capsys):
    words = [*SMALL, "--latents", "2", "--seeds", "0", "--points", "0", "--learning-rate", "1e30"]
    assert main(["sweep", *words, "--out", str(tmp_path / "out")]) == 2
    assert "expected a run that is done and did not fail, got none" in capsys.readouterr().err


def test_more_points_than_there_are_held_out_images_are_accepted(tmp_path, capsys):
    words = ["sweep", *SMALL, "--points", "26", "--plan", "--out", str(tmp_path / "out")]
    assert main(words) == 0


def test_images_that_are_all_alike_are_refused_before_anything_is_trained(tmp_path, capsys):
    np.save("alike.npy", np.full((250, 16, 16), 7, np.uint8))
    words = [*SMALL, "--data", "alike.npy", "--out", str(tmp_path / "out")]
    assert main(["sweep", *words]) == 2
    assert "expected at least 3 distinct held-out images of " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_folder_of_a_run_is_refused(tmp_path, capsys):
    (tmp_path / "run.json").write_text("{}")
    assert main(["sweep", *SMALL, "--points", "0", "--out", str(tmp_path)]) == 2
    assert "which holds the results of `jaxvae train`" in capsys.readouterr().err
