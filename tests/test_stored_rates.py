"""What docs/results/rate_allocation.md says of the kept records of two layers on MNIST."""

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from benchmarks.kept import RESULTS
from experiments.rate_allocation.claims import rate_conclusions
from experiments.rate_allocation.summary import highest_rows
from experiments.rate_allocation.uses import trusted, uses
from jaxvae.report.tables import markdown_table

PAGE = Path(__file__).parents[1] / "docs" / "results" / "rate_allocation.md"


@pytest.fixture(scope="module")
def records():
    with xr.open_dataset(RESULTS / "rates-mnist.nc") as opened:
        return opened.load()


@pytest.fixture(scope="module")
def every_use(records):
    return uses(records)


@pytest.fixture(scope="module")
def page():
    """The page in one line."""
    return " ".join(PAGE.read_text(encoding="utf-8").split())


@pytest.mark.slow
def test_the_table_of_uses_is_that_of_the_records(records, every_use, page):
    rows = highest_rows(records, every_use)
    assert " ".join(markdown_table(rows, left=["highest for"]).split()) in page


@pytest.mark.slow
def test_the_conclusions_of_the_page_are_those_of_the_records(records, every_use, page):
    said = " ".join(rate_conclusions(records, every_use))
    assert "over 3 seeds" in said
    assert "which want different betas: reconstruction and compression." in said
    assert "classification from z_2 37 of 49" in said
    assert "classification from z_1 44 of 49" in said
    assert "generation any of 48" in said
    assert "37 cells cannot be told from the best for classification from z_2, 44 from z_1" in page
    assert re.search(r"in 1764 tests .* of which 496 .* below it by 2\.2 standard errors", said)
    assert "as clearly above it in 329 tests" in said
    assert "below 1 in 496 of 1,764 tests" in page
    assert "329 are clearly above it" in page
    assert "1 are suspect" in said
    assert "26 have a loss more than a nat above that of another run" in said
    assert "one by 12 nats or more" in said
    shares = re.findall(r"(\d\.\d\d), (\d\.\d\d)(?:;|\.)", said.partition("adjusted R²")[2])
    assert [tuple(f"{float(x):.0%}" for x in each) for each in shares] == [
        ("93%", "98%"), ("88%", "92%"), ("16%", "88%"), ("38%", "85%"), ("16%", "42%"),
    ]  # fmt: skip


def test_rates_and_distortions_of_the_page_are_those_of_the_records(records, page):
    last = records.isel(epoch=-1)
    assert last["rates"].sel(layer="z_2").max() == pytest.approx(72, abs=0.5)
    assert last["rates"].sel(layer="z_1").max() == pytest.approx(180, abs=0.5)
    means = trusted(records, "rates", "distortion")
    flat = means.stack(cell=("beta_top", "beta_bottom"))
    total, share = flat["rates"].sum("layer"), flat["rates"].sel(layer="z_2")
    share = (share / total).values
    alike = ((total > 68.8) & (total < 71.1)).values
    distortion = flat["distortion"].values
    both = alike & (share > 0.5) & (share < 0.7)
    assert [f"{each:.1f}" for each in distortion[both]] == ["37.7"]
    for chosen, least, most in ((share < 0.01, 42.4, 43.4), (share > 0.95, 54.0, 66.6)):
        found = distortion[alike & chosen]
        np.testing.assert_allclose([found.min(), found.max()], [least, most], atol=0.05)
    excess = records["excess_cost"].stack(model=("beta_top", "beta_bottom", "seed"))
    off = excess[excess > 1]
    assert len(off) == 26
    steep = (off["beta_top"] < 0.5) & (off["beta_bottom"] > 2)
    assert int(steep.sum()) == 18
    assert "26 of the 147 models" in page
    assert "18 of them with a beta of z_2 of at most .464" in page


def test_scores_of_the_page_are_those_of_the_records(records, page):
    means = trusted(records, "rates", "inception_score")
    cells = means.stack(cell=("beta_top", "beta_bottom"))
    top = cells["rates"].sel(layer="z_2").values
    order = np.argsort(-cells["inception_score"].values)
    best = top[order[:11]]
    assert best.min() > 3
    assert best.max() < 21
    assert "The eleven highest inception scores (5.0 to 5.4) have 3 to 21 nats in z_2" in page
