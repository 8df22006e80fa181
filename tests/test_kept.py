"""Records that are kept for pages of results."""

import numpy as np
import pytest
import xarray as xr

from benchmarks.kept import keep
from experiments.learning_dynamics.summary import dynamics_summary
from tests.experiments.dynamics import LATE, made
from tests.experiments.rates import grid, summary_of


def folder_of(records, folder):
    """A folder of results with these records."""
    (folder / "made").mkdir(parents=True)
    (folder / "made" / "unit.json").write_text(
        '[{"command": "c", "began": "2026-01-02T03:04:05+00:00", "seconds": 1.0, '
        '"machine": "m", "device": "cpu", "versions": "v"}]'
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


def test_seeds_of_other_settings_are_not_kept_together(tmp_path):
    keep(folder_of(grid(), tmp_path / "first"), "name", tmp_path)
    other = grid(seeds=3).assign_attrs(points=7)
    with pytest.raises(ValueError, match="expected points 40, got 7"):
        keep(folder_of(other, tmp_path / "second"), "name", tmp_path)
    with pytest.raises(ValueError, match="beta_top"):
        keep(folder_of(grid(tops=2, seeds=3), tmp_path / "third"), "name", tmp_path)


def test_records_of_something_else_are_refused(tmp_path):
    folder = folder_of(xr.Dataset({"x": 1.0}), tmp_path / "out")
    with pytest.raises(ValueError, match=r"expected records of experiments\.learning_dynamics or"):
        keep(folder, "name", tmp_path)
    assert not (tmp_path / "name.nc").exists()
