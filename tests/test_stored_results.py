"""What docs/results/bottleneck.md says of the stored records of VAEs on MNIST."""

from pathlib import Path

import pytest

from benchmarks.claims import (
    at_the_end,
    beside_the_paper,
    by_layer,
    limits,
    more_seeds,
    more_seeds_of_one_size,
    over_training,
    stored_sweeps,
    sweeps_of_more_seeds,
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
    sweeps, said = sweeps_of_more_seeds(), more_seeds_of_one_size()
    for l2, limit in (("0", "-1.4%, at most +2.3%"), ("1e-4", "-1.8%, at most +2.9%")):
        assert sweeps[float(l2)]["seed"].values.tolist() == [*range(3, 11)]
        assert f"K = 32, L2 of {l2}, 8 seeds: {limit}: excluded" in said
        peak, _ = claims(sweeps[float(l2)])
        assert peak.removesuffix(".").endswith("excluded at K = 32 (95% confidence, 8 seeds)")
    in_one_line = " ".join(page.split())
    assert "is -1.4% without L2 and -1.8% with it in the means over seeds" in in_one_line
    assert "at most +2.3% and +2.9% with 95% confidence" in in_one_line
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
