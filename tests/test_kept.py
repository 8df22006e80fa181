"""Records that are kept for pages of results."""

import json

import numpy as np
import pytest
import xarray as xr

from benchmarks.kept import keep
from experiments.learning_dynamics.summary import dynamics_summary
from tests.experiments.dynamics import LATE, made
from tests.experiments.rates import grid, summary_of


def folder_of(records, folder, **settings):
    """A folder of results with these records."""
    (folder / "made").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"epochs": 4, "seeds": [7]} | settings))
    (folder / "made" / "unit.json").write_text(
        '[{"command": "c", "began": "2026-01-02T03:04:05+00:00", "seconds": 1.0, '
        f'"machine": "of {folder.name}", "device": "cpu", "versions": "v"}}]'
    )
    records.to_netcdf(folder / "records.nc")
    return folder


def test_what_is_kept_of_dynamics_says_the_same(tmp_path):
    groups = {"sprites/compact_vae": made(), "mnist/dense_vae": made(decoder=LATE, failed=(1,))}
    path = keep(folder_of(xr.DataTree.from_dict(groups), tmp_path / "out"), "name", tmp_path)
    with xr.open_datatree(path) as opened:
        kept = {place: opened[place].to_dataset().load() for place in groups}
    assert dynamics_summary(list(kept.values())) == dynamics_summary(list(groups.values()))
    assert kept["mnist/dense_vae"].attrs["began"] == "2026-01-02 03:04 UTC"
    assert kept["mnist/dense_vae"].sizes["other_epoch"] == 1


def test_what_is_kept_of_rates_says_the_same(tmp_path):
    records = grid(seeds=3)
    path = keep(folder_of(records, tmp_path / "out"), "name", tmp_path)
    with xr.open_dataset(path) as opened:
        kept = opened.load()
    assert summary_of(kept) == summary_of(records)
    assert "example_sample" not in kept
    # Three digits of an image.
    np.testing.assert_allclose(kept["image_rates"], records["image_rates"], rtol=1e-3)


def test_seeds_that_were_trained_apart_are_kept_together(tmp_path):
    records = grid(seeds=3)
    for name, seeds in (("first", [0, 2]), ("second", [1, 2])):
        path = keep(folder_of(records.isel(seed=seeds), tmp_path / name), "name", tmp_path)
    with xr.open_dataset(path) as opened:
        assert opened["seed"].values.tolist() == [0, 1, 2]
        for one in ("distortion", "missing", "image_squared_error"):
            np.testing.assert_allclose(opened[one], records[one], rtol=1e-3)
        assert opened["label_shares"].dims == ("label",)
        assert opened.attrs["machine"] == "of first; of second"
        assert opened.attrs["device"] == "cpu"


def sweep(seeds, missing=()):
    """Records of two sizes, whose numbers are those of the seed and the epoch."""
    by_epoch = np.broadcast_to(np.array(seeds)[:, None] + np.array([0, 0.5]), (2, len(seeds), 2))
    run = ("bottleneck", "seed")
    variables = {
        name: ((*run, "epoch", "layer"), np.stack([by_epoch] * 2, axis=-1))
        for name in ("intrinsic_dimension", "intrinsic_dimension_stderr", "imbalance_to_input")
    }
    variables |= dict.fromkeys(
        ("reconstruction", "kl", "active_units", "failed"), ((*run, "epoch"), by_epoch)
    )
    variables["missing"] = (run, [[False] * len(seeds), [seed in missing for seed in seeds]])
    variables["intrinsic_dimension_null"] = ("bottleneck", [8.0, 24.0])
    layers, sizes = ["input", "output"], [8, 32]
    coordinates = {"bottleneck": sizes, "seed": seeds, "epoch": [0, 4], "layer": layers}
    return xr.Dataset(variables | {"example_input": ("example", [1])}, coordinates)


def test_seeds_of_bottlenecks_are_kept_when_all_their_runs_are_done(tmp_path):
    keep(folder_of(sweep([3, 4, 5], missing=[5]), tmp_path / "first"), "name", tmp_path)
    path = keep(folder_of(sweep([5, 6]), tmp_path / "second"), "name", tmp_path)
    with xr.open_dataset(path) as opened:
        assert opened["seed"].values.tolist() == [3, 4, 5, 6]
        assert opened["kl"].sel(bottleneck=32, epoch=4).values.tolist() == [3.5, 4.5, 5.5, 6.5]
        assert not opened["missing"].any()
        assert "example_input" not in opened
    with pytest.raises(ValueError, match="a seed of which all runs are done, got none in"):
        keep(folder_of(sweep([7], missing=[7]), tmp_path / "third"), "name", tmp_path)


def test_a_seed_that_is_given_again_replaces_the_one_of_the_file(tmp_path):
    records = grid(seeds=3)
    worse = records.assign(distortion=records["distortion"] * np.nan)
    for name, given in (("first", worse), ("second", records.isel(seed=[0, 1]))):
        path = keep(folder_of(given, tmp_path / name), "name", tmp_path)
    with xr.open_dataset(path) as opened:
        known = ~opened["distortion"].isnull().any(
            [n for n in opened["distortion"].dims if n != "seed"]
        )
        assert known.values.tolist() == [True, True, False]
        assert opened.attrs["machine"] == "of first; of second"
    keep(folder_of(records.isel(seed=[2]), tmp_path / "third"), "name", tmp_path)
    keep(tmp_path / "second", "name", tmp_path)
    with xr.open_dataset(path) as opened:
        assert not opened["distortion"].isnull().any()
        assert opened.attrs["machine"] == "of first; of second; of third"
    keep(folder_of(records, tmp_path / "all"), "name", tmp_path)
    with xr.open_dataset(path) as opened:
        assert opened.attrs["machine"] == "of all"


def test_the_accuracy_of_two_judges_is_that_of_the_worse(tmp_path):
    for name, seed, accuracy in (("first", 0, 0.9), ("second", 1, 0.95)):
        records = grid(seeds=2).isel(seed=[seed])
        judge = {"judge_accuracy": accuracy, "judge_accuracy_stderr": 1 - accuracy}
        path = keep(folder_of(records.assign_attrs(judge), tmp_path / name), "name", tmp_path)
    with xr.open_dataset(path) as opened:
        assert opened.attrs["judge_accuracy"] == 0.9
        np.testing.assert_allclose(opened.attrs["judge_accuracy_stderr"], 0.1)


def test_a_sweep_of_dynamics_that_grew_replaces_the_earlier_one_alone(tmp_path):
    names = {"objectives": ["beta_vae"], "values": 1}
    most = made()
    fewer = most.isel(run=[0, 1], other_run=[0, 1])
    tree = {
        key: xr.DataTree.from_dict({"/a": value}) for key, value in (("all", most), ("few", fewer))
    }
    keep(folder_of(tree["few"], tmp_path / "few", **names), "name", tmp_path)
    names["objectives"] = ["beta_vae", "dip_vae_i"]
    path = keep(folder_of(tree["all"], tmp_path / "all", **names), "name", tmp_path)
    with xr.open_datatree(path) as opened:
        assert opened["a"].sizes["run"] == most.sizes["run"]
    before = path.read_bytes()
    with pytest.raises(
        ValueError, match=r"expected all runs of the file, got none of .*'dip_vae_i'"
    ):
        keep(tmp_path / "few", "name", tmp_path)
    with pytest.raises(ValueError, match=r"expected settings .*epochs\W+4.*, got .*epochs\W+8"):
        keep(folder_of(tree["all"], tmp_path / "other", epochs=8), "name", tmp_path)
    with pytest.raises(ValueError, match="expected a name of these records, got name, which has"):
        keep(folder_of(sweep([0]), tmp_path / "sweep"), "name", tmp_path)
    assert path.read_bytes() == before


def test_models_that_are_not_compared_yet_are_refused(tmp_path):
    records = made()
    records["debiased_cka_between"] = records["debiased_cka_between"] * np.nan
    folder = folder_of(xr.DataTree.from_dict({"/a": records}), tmp_path / "out")
    with pytest.raises(ValueError, match="expected models that were compared, got none in"):
        keep(folder, "name", tmp_path)


def test_results_without_notes_on_what_made_them_are_refused(tmp_path):
    folder = folder_of(sweep([0]), tmp_path / "out")
    (folder / "made" / "unit.json").unlink()
    with pytest.raises(ValueError, match="expected notes on what made these results, got none in"):
        keep(folder, "name", tmp_path)


def test_seeds_of_other_settings_are_not_kept_together(tmp_path):
    keep(folder_of(grid(), tmp_path / "first"), "name", tmp_path)
    before = (tmp_path / "name.nc").read_bytes()
    with pytest.raises(ValueError, match=r"expected settings .*epochs\W+4.*, got .*epochs\W+8"):
        keep(folder_of(grid(seeds=3), tmp_path / "second", epochs=8), "name", tmp_path)
    assert (tmp_path / "name.nc").read_bytes() == before


def test_records_of_something_else_are_refused(tmp_path):
    folder = folder_of(xr.Dataset({"x": 1.0}), tmp_path / "out")
    with pytest.raises(ValueError, match=r"expected records of an experiment, got .*records\.nc"):
        keep(folder, "name", tmp_path)
    assert not (tmp_path / "name.nc").exists()
