"""The pages of experiments, from records made by hand."""

import re
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from experiments.learning_dynamics.page import dynamics_page
from experiments.learning_dynamics.summary import dynamics_summary
from experiments.rate_allocation.uses import uses
from jaxvae.report.page import page_text
from jaxvae.report.tables import markdown_table
from tests.experiments.dynamics import EARLY, LATE, made
from tests.experiments.rates import grid, page_of, summary_of
from tests.tiers import parametrize


@pytest.fixture(scope="module")
def rates():
    return grid()


@pytest.fixture(scope="module")
def page(rates):
    return page_of(rates)


def test_the_answers_are_the_sentences_of_the_summaries(rates, page):
    for answer, summary in (
        (page.answer, summary_of(rates)),
        (dynamics_page([made()], missing=["a"]).answer, dynamics_summary([made()], missing=["a"])),
    ):
        assert answer
        assert all(sentence in summary.replace("**", "") for sentence in answer)


def test_the_tables_are_those_of_the_summary_and_where_each_use_is_best_comes_first(rates, page):
    highest, cells = page.tables
    assert [row["highest for"] for row in highest.rows] == [use.name for use in uses(rates)]
    assert {row["as good"] for row in highest.rows} == {"9 of 9"}
    for table, left in ((highest, ["highest for"]), (cells, [])):
        assert markdown_table(table.rows, left=left) in summary_of(rates)
        assert table.reads in summary_of(rates)


def test_what_is_learned_first_comes_first_and_alone():
    first, second, *_ = dynamics_page([made()]).answer
    assert first == (
        "sprites, compact_vae, 4 models (none failed): The encoder was learned first (1.0 epochs "
        "by CKA, p < 0.001 for both scales together, paired over 2 seeds)."
    )
    assert second.startswith("Of what was left to learn, the encoder was first in 4")


def test_a_line_is_the_similarity_of_its_layer_to_the_end():
    lines, maps = dynamics_page([made()]).charts
    drawn = {trace.drawn["name"]: trace.drawn["y"] for trace in lines.traces}
    np.testing.assert_allclose(drawn["encoder/1"], EARLY)
    np.testing.assert_allclose(drawn["decoder/1"], LATE)
    # Two objectives at four epochs.
    assert len(maps.traces) == 8
    assert lines.choices["objective"] == ["beta_vae", "dip_vae_i"]


def test_each_similarity_that_was_measured_can_be_chosen_and_is_of_the_models_that_have_it():
    records = made()
    of_some = records["debiased_cka"].where(records["seed"] == 0) / 2
    lines, maps = dynamics_page([records.assign(procrustes=of_some)]).charts
    assert lines.choices["similarity"] == ["Procrustes similarity", "debiased CKA"]
    # Also where the first objective lacks some.
    of_one = records["debiased_cka"].where(records["objective"] == "dip_vae_i")
    lines_of_one, _ = dynamics_page(
        [records.assign(imbalance=of_one, cka=records["debiased_cka"])]
    ).charts
    assert lines_of_one.choices["similarity"][-1] == "debiased CKA"
    drawn = {
        trace.drawn["name"]: trace.drawn
        for trace in lines.traces
        if trace.when["similarity"] == "Procrustes similarity"
    }
    np.testing.assert_allclose(drawn["decoder/1"]["y"], np.array(LATE) / 2)
    # One model of each objective has it, which has no spread.
    assert np.isnan(drawn["decoder/1"]["error_y"]["array"]).all()
    assert len(maps.traces) == 8


def test_the_settings_of_a_grid_of_betas_are_said_in_words(rates):
    judge = {"judge_accuracy": 0.98765, "judge_accuracy_stderr": 0.00123}
    settings = page_of(rates.assign_attrs(judge)).settings
    assert settings["binarized"] == "yes"
    assert settings["held-out images measured"] == "40"
    assert settings["accuracy of the judge of generated images"] == "0.9877 ± 0.0012"
    assert not any("stderr" in name for name in settings)


def test_a_marker_stands_at_the_rates_of_its_cell(rates, page):
    (chart,) = page.charts
    drawn = chart.traces[0].drawn
    place = drawn["customdata"].index("beta 0.1, 10")
    here = rates["rates"].isel(epoch=-1).sel(beta_top=0.1, beta_bottom=10).mean("seed")
    np.testing.assert_allclose([drawn["y"][place], drawn["x"][place]], here)
    assert len(chart.choices["colored by"]) == len(chart.traces) == 5


@parametrize("channels", [3, 1])
def test_the_page_holds_the_pictures_that_were_kept_and_says_of_how_many_cells(channels):
    records = grid(channels=channels)
    text = page_text(page_of(records))
    first, second = re.findall(r"<img src=\"data:image/png;base64,([^\"]+)", text)
    pixels = np.asarray(Image.open(BytesIO(b64decode(second)))).reshape(30, 40, channels)
    np.testing.assert_array_equal(pixels[11:19, 1:9], records["example_reconstruction"][1, 0])
    assert first != second
    assert "2 of 9 cells, which have an outline, have pictures" in text
    assert re.findall("<option>(beta.*?)</option>", text) == ["beta 0.1, 0.1", "beta 10, 10"]
