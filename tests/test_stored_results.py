"""What docs/results/bottleneck.md says of the stored records of VAEs on MNIST."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from benchmarks.claims import (
    OF_MORE_SEEDS,
    at_the_end,
    beside_the_paper,
    by_layer,
    limits,
    more_seeds,
    more_seeds_of_one_size,
    over_training,
    store,
    stored_sweeps,
    with_and_without_penalty,
)
from experiments.bottleneck.claims import claims

PAGE = Path(__file__).parents[1] / "docs" / "results" / "bottleneck.md"


@pytest.fixture(scope="module")
def sweeps():
    return stored_sweeps()


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("table", [at_the_end, over_training, limits, beside_the_paper])
def test_tables_of_the_page_are_those_of_the_records(table, sweeps, page):
    assert table(sweeps) in page


def test_layers_of_the_papers_network_are_those_of_the_records(page):
    assert by_layer() in page


def test_verdicts_of_the_page_are_those_of_the_records(sweeps, page):
    in_one_line = " ".join(page.split())
    for verdict in claims(sweeps[0.0]):
        assert verdict.removesuffix(".") in in_one_line
    for l2 in (3.9e-7, 1e-4):
        peak, phase = claims(sweeps[l2])
        assert "excluded at K = 32 (" in peak
        assert "not decided at K = 32 (" in phase
    assert "excluded at K = 32 with either L2 penalty" in in_one_line


def test_eight_seeds_of_one_size_exclude_a_second_phase_as_the_page_says(page):
    sweeps, said = stored_sweeps(OF_MORE_SEEDS), more_seeds_of_one_size()
    for l2, limit in (("0", "-1.4%, at most +2.2%"), ("1e-4", "-1.8%, at most +2.9%")):
        assert sweeps[float(l2)]["seed"].values.tolist() == [*range(3, 11)]
        assert f"K = 32, L2 of {l2}, 8 seeds: {limit}: excluded" in said
        peak, _ = claims(sweeps[float(l2)])
        assert peak.removesuffix(".").endswith("excluded at K = 32 (95% confidence, 8 seeds)")
    in_one_line = " ".join(page.split())
    assert "is -1.4% without L2 and -1.8% with it in the means over seeds" in in_one_line
    assert "at most +2.2% and +2.9% with 95% confidence" in in_one_line
    assert over_training(sweeps) in page
    assert with_and_without_penalty(sweeps) in page


@pytest.mark.slow
def test_more_seeds_decide_as_often_as_the_page_says(sweeps, page):
    simulated = more_seeds(sweeps[0.0], 100)
    head = simulated.partition("\n")[0]
    stated = page[page.index(head) :].partition("\n\n")[0]
    shares = [
        [float(cell.strip(" %")) for cell in line.split("|")[2:-1]]
        for text in (simulated, stated)
        for line in text.split("\n")[2:]
    ]
    rows = len(shares) // 2
    for found, expected in zip(shares[:rows], shares[rows:], strict=True):
        # Four standard errors of a share of 100 sweeps.
        assert found == pytest.approx(expected, abs=20)


def save_sweep(folder, seeds, *, missing=(), **settings):
    """A folder of a sweep of one size, whose numbers are those of the seed and the epoch."""
    folder.mkdir()
    config = {"bottlenecks": [32], "seeds": seeds, "l2": 0.0, "epochs": 4} | settings
    (folder / "config.json").write_text(json.dumps(config))
    by_epoch = np.array(seeds)[None, :, None] + np.array([0, 0.5])
    by_layer = np.repeat(by_epoch[..., None], 2, axis=-1)
    names = ("intrinsic_dimension", "intrinsic_dimension_stderr", "imbalance_to_input")
    run = ("bottleneck", "seed")
    variables = dict.fromkeys(names, ((*run, "epoch", "layer"), by_layer))
    variables |= dict.fromkeys(
        ("reconstruction", "kl", "active_units"), ((*run, "epoch"), by_epoch)
    )
    variables |= {"missing": (run, [[seed in missing for seed in seeds]])}
    variables |= {"intrinsic_dimension_null": ("bottleneck", [24.0])}
    coordinates = {
        "bottleneck": [32],
        "seed": seeds,
        "epoch": [0, 4],
        "layer": ["input", "output"],
    }
    xr.Dataset(variables, coordinates).to_netcdf(folder / "records.nc")
    return folder


def test_seeds_that_were_trained_apart_are_stored_together(tmp_path):
    path = tmp_path / "stored.json"
    store(save_sweep(tmp_path / "first", [3, 4, 5], missing=[5]), path)
    store(save_sweep(tmp_path / "second", [5, 6]), path)
    records = stored_sweeps(path)[0.0]
    assert records["seed"].values.tolist() == [3, 4, 5, 6]
    assert records["kl"].sel(bottleneck=32, epoch=4).values.tolist() == [3.5, 4.5, 5.5, 6.5]
    assert records["imbalance_to_input"].sel(seed=5, epoch=0, layer="output").item() == 5
    before = path.read_text()
    with pytest.raises(ValueError, match=r"expected settings .*'epochs': 4.*, got .*'epochs': 8"):
        store(save_sweep(tmp_path / "third", [7], epochs=8), path)
    assert path.read_text() == before
