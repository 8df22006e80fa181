"""The words and figures of a grid of betas, on grids made by hand."""

import numpy as np
import pytest

from experiments.rate_allocation.claims import _explained
from experiments.rate_allocation.figures import draw_rate_figures
from experiments.rate_allocation.protocol_report import draw_baseline, protocol_tables
from experiments.rate_allocation.summary import rate_table
from experiments.rate_allocation.uses import (
    accuracy_of_images,
    classified,
    half_names,
    halves,
    most_rate,
    scores_of_examples,
    uses,
)
from jaxvae.analysis import choose_classifier
from tests.experiments.rates import CLASSIFIERS, GRID, conclusions_of, grid, summary_of
from tests.tiers import parametrize

USES = [
    "reconstruction",
    "compression",
    "classification from z_2",
    "classification from z_1",
    "generation",
]


def at(top, bottom, **more):
    return {"beta_top": top, "beta_bottom": bottom, **more}


def psnr_of(records, decibels, **place):
    """Give some runs this PSNR, with as much noise of images as all others."""
    squared = records["image_squared_error"]
    here = squared.loc[place]
    squared.loc[place] = here / here.mean("image") * 10 ** (-decibels / 10)


# --- scores ---------------------------------------------------------------------------


def test_the_score_of_a_run_is_the_mean_over_its_examples():
    records = grid()
    scores = {name: one.mean(one.dims[-1]) for name, one in scores_of_examples(records).items()}
    assert list(scores) == USES
    squared = records["image_squared_error"].mean("image")
    np.testing.assert_allclose(scores["reconstruction"], -10 * np.log10(squared))
    nats = records["image_distortion"].mean("image") + records["image_rates"].sum("layer").mean(
        "image"
    )
    np.testing.assert_allclose(scores["compression"], -nats / np.log(2) / 64)
    score = np.exp(records["generated_information"].mean("generated"))
    np.testing.assert_allclose(scores["generation"], score)


def test_examples_err_as_the_score_of_which_they_are_parts_does():
    records = grid()
    errors = {
        name: float(one[0, 0, 0].std(ddof=1) / one.shape[-1] ** 0.5)
        for name, one in scores_of_examples(records).items()
    }
    for name, quantity, score in (
        ("reconstruction", "image_squared_error", lambda mean: -10 * np.log10(mean)),
        ("generation", "generated_information", np.exp),
    ):
        one = records[quantity][0, 0, 0].values
        left_out = np.array([score(np.delete(one, place).mean()) for place in range(len(one))])
        jackknife = np.sqrt((len(one) - 1) * np.var(left_out))
        np.testing.assert_allclose(errors[name], jackknife, rtol=0.01)


def test_an_accuracy_is_of_classifiers_that_other_images_chose():
    records = grid()
    expected = choose_classifier(records["image_right"].sel(layer="z_1").values)
    np.testing.assert_array_equal(scores_of_examples(records)[USES[3]], expected)


# --- best cells -----------------------------------------------------------------------


def test_the_best_cells_are_those_that_no_other_is_clearly_better_than():
    records = grid(seeds=3)
    psnr_of(records, 30.0, **at(0.1, 10.0))
    psnr_of(records, 29.9, **at(1.0, 1.0))
    found = {use.name: use for use in uses(records)}
    assert found["reconstruction"].highest == (0.1, 10.0)
    assert found["reconstruction"].best == [(0.1, 10.0), (1.0, 1.0)]
    assert found["reconstruction"].candidates.sum() == 2
    # The others do not differ.
    assert all(found[name].candidates.all() for name in USES[1:])
    assert [use.leaves_some_out for use in found.values()] == [True] + [False] * len(USES[1:])


def test_a_cell_that_is_not_trusted_is_not_one_that_is_shown_to_be_worse():
    records = grid(seeds=3)
    records["suspect"].loc[at(0.1, 10.0, seed=1)] = True
    assert not any(use.leaves_some_out for use in uses(records))
    assert "generation any of 8." in " ".join(conclusions_of(records))
    assert not any(use.leaves_some_out for use in uses(grid(seeds=1)))


def test_the_errors_of_scores_hold_the_spread_over_seeds():
    records = grid(seeds=4)
    psnr_of(records, 20.0)
    (calm, *_) = uses(records)
    for seed, decibels in enumerate((18.0, 19.0, 21.0, 22.0)):
        psnr_of(records, decibels, seed=seed)
    (moved, *_) = uses(records)
    spread = np.std([18, 19, 21, 22], ddof=1) / 2
    np.testing.assert_allclose(moved.stderr, np.hypot(calm.stderr, spread), rtol=1e-6)
    # It is the same in all cells.
    psnr_of(records, 40.0, **at(0.1, 0.1, seed=0))
    assert uses(records)[0].candidates.all()


def test_cells_with_runs_that_failed_or_are_suspect_are_not_among_the_best():
    records = grid(seeds=3)
    psnr_of(records, 50.0, **at(0.1, 10.0))
    records["suspect"].loc[at(0.1, 10.0, seed=1)] = True
    psnr_of(records, 70.0, **at(1.0, 10.0))
    records["failed"].loc[at(1.0, 10.0, epoch=5)] = True
    psnr_of(records, 30.0, **at(10.0, 0.1))
    (reconstruction, *_) = uses(records)
    assert reconstruction.best == [(10.0, 0.1)]
    # What is known of the others is shown, without an error.
    assert "| 50.0 |" in summary_of(records).split("## All cells")[1]


def test_a_use_without_any_trusted_score_is_left_out():
    records = grid()
    records["accuracy"].loc[{"layer": "z_1"}] = np.nan
    records["generated_information"][:] = np.nan
    assert [use.name for use in uses(records)] == USES[:3]
    records["suspect"][:] = True
    assert uses(records) == []
    assert rate_table(records, uses(records)).row_count == 0
    assert "Cells that cannot be told" not in summary_of(records)


def test_runs_that_are_not_done_are_counted_and_trusted_for_nothing():
    records = grid()
    records["missing"].loc[at(0.1, 10.0, seed=1)] = True
    lines = conclusions_of(records)
    assert lines[0] == "1 of 18 runs are not done; what follows is about the others."
    assert lines[-1].startswith("Of 17 runs 0 failed")
    assert not any(bool(use.candidates.sel(at(0.1, 10.0))) for use in uses(records))
    assert "\n| 0.1 | 10 | " in summary_of(records).partition("## All cells")[2]
    records["missing"].loc[at(0.1, 10.0)] = True
    assert "\n| 0.1 | 10 | " not in summary_of(records)


def test_uses_want_different_cells_only_where_no_best_one_is_in_common():
    records = grid(seeds=3)
    psnr_of(records, 40.0, **at(0.1, 10.0))
    verdict, line, *_ = conclusions_of(records)
    assert verdict == "No two uses are shown to want different cells."
    assert line.startswith("Cells that cannot be told from the best")
    assert "reconstruction 1 of 9 (beta 0.1 and 10)" in line
    assert line.endswith("generation any of 9.")
    records["image_distortion"].loc[at(1.0, 1.0)] -= 90
    verdict = conclusions_of(records)[0]
    apart = verdict.partition("Uses without a best cell in common, which want different betas: ")[2]
    assert apart == "reconstruction and compression."
    # Six of nine, of which four are named.
    records["image_distortion"].loc[{"beta_top": [0.1, 10.0]}] -= 300
    assert "; and 2 more)" in conclusions_of(records)[1]


@pytest.mark.parametrize("seeds", [2, 3])
def test_two_seeds_ask_for_more(seeds):
    (line,) = [line for line in conclusions_of(grid(seeds=seeds)) if line.startswith("Cells")]
    assert line.endswith("--seeds 0..3 adds seeds that decide smaller ones.") == (seeds == 2)


def test_one_seed_decides_nothing_however_large_a_difference_is():
    records = grid(seeds=1)
    psnr_of(records, 60.0, **at(0.1, 10.0))
    records["image_distortion"].loc[at(1.0, 1.0)] -= 90
    assert all(use.candidates.all() for use in uses(records))
    (line,) = [line for line in conclusions_of(records) if "Highest" in line]
    assert "reconstruction at beta 0.1 and 10;" in line
    assert line.startswith("Highest score with this one seed: ")
    assert "no cell is shown to be better than another" in line
    summary = summary_of(records)
    assert "want different betas" not in summary
    assert "| unknown |" in summary
    assert "±" not in summary.replace("± is one standard error", "")
    assert "With one seed the standard error is unknown." in summary


# --- claims ---------------------------------------------------------------------------


def on_bounds(records):
    (line,) = (each for each in conclusions_of(records) if each.startswith("Bound of accuracy"))
    return line


def test_a_bound_is_broken_only_beyond_the_errors_of_all_tests_together():
    records = grid()
    # 36 of each layer, and once more those of the top layer.
    assert "never clearly exceeded in 108 tests" in on_bounds(records)
    assert "the closest stays below it by" in on_bounds(records)
    place = at(0.1, 0.1, layer="z_1", kind="sample", classifier=CLASSIFIERS[0], seed=0)
    # 36 of 40 are above .62 by 3.6 standard errors, and the exact limits of 108 tests lower still.
    for hits, broken in ((36, "never"), (40, "EXCEEDED 1 times")):
        records["accuracy"].loc[place] = hits / 40
        assert broken in on_bounds(records)
    # That the rate is known badly is a doubt too.
    records["known_information_stderr"][:] = 1.0
    assert "never" in on_bounds(records)


def test_bounds_of_one_cannot_be_broken():
    records = grid()
    for name in ("accuracy_bound", "top_accuracy_bound"):
        records[name][:] = 1.0
    assert "it is 1, and cannot be exceeded" in on_bounds(records)


def test_without_a_classified_layer_no_bound_is_tested():
    records = grid()
    records["accuracy"][:] = np.nan
    assert on_bounds(records).endswith("not tested, no layer was classified.")


def test_a_layer_that_was_not_classified_has_no_accuracy():
    records = grid()
    records["accuracy"].loc[{"layer": "z_1"}] = np.nan
    # As it is saved of such a layer.
    records["image_right"].loc[{"layer": "z_1"}] = False
    assert np.isnan(accuracy_of_images(records, "z_1")).all()
    assert not np.isnan(accuracy_of_images(records, "z_2")).any()


def test_the_information_on_the_labels_is_a_bound_of_its_own_with_its_own_error():
    records = grid()
    place = at(0.1, 0.1, layer="z_2", kind="sample", classifier=CLASSIFIERS[0], seed=0)
    records["top_label_information"][:] = 0.0
    records["accuracy"].loc[{"kind": "sample"}] = 0.0
    # Below what the rate allows, which is .62.
    records["accuracy"].loc[place] = 0.6
    assert "EXCEEDED 1 times" in on_bounds(records)
    records["top_label_information_stderr"][:] = 1.0
    assert "never" in on_bounds(records)


def test_classifiers_that_did_not_converge_are_counted():
    records = grid()
    assert not any("converge" in line for line in conclusions_of(records))
    records["converged"].loc[at(0.1, 0.1, classifier=CLASSIFIERS[0], layer="z_1")] = False
    # Not trained at all.
    records["converged"].loc[at(1.0, 0.1, layer="z_2")] = False
    records["accuracy"].loc[at(1.0, 0.1, layer="z_2")] = np.nan
    (line,) = [line for line in conclusions_of(records) if "converge" in line]
    assert line.startswith("Of 136 classifiers 4 did not converge")
    assert line.endswith("logistic regression in 4.")


def test_what_is_explained_is_all_of_a_quadratic_and_nothing_of_noise():
    random = np.random.default_rng(1)
    x, y = random.normal(size=(2, 49))
    assert _explained(1 + x - 2 * x * y + y**2, x, y) == pytest.approx(1)
    noise = [_explained(random.normal(size=49), x, y) for _ in range(200)]
    # Adjusted: zero on average, with a standard error of about 0.006.
    assert abs(np.mean(noise)) < 0.025
    assert np.isnan(_explained(noise[:6], x[:6], y[:6]))


def test_training_that_is_not_finished_is_said():
    records = grid()
    records["excess_cost"].loc[at(0.1, 10.0)] = 38.0
    assert "2 have a loss more than a nat above that of another" in conclusions_of(records)[-1]
    assert "one by 38 nats or more" in conclusions_of(records)[-1]


def test_the_layers_that_are_shown_are_those_of_most_rate_from_the_top():
    records = grid(layers=5)
    records["rates"].loc[{"layer": ["z_4", "z_2"]}] += 100
    # Not at the end, and of a cell that failed.
    records["rates"].loc[{"layer": "z_1", "epoch": 1}] += 1000
    records["rates"].loc[at(0.1, 0.1)] = np.nan
    assert most_rate(records, 2) == ["z_4", "z_2"]
    assert most_rate(records, 9) == ["z_5", "z_4", "z_3", "z_2", "z_1"]
    records["accuracy"].loc[{"layer": "z_4"}] = np.nan
    assert classified(records, 1) == ["z_2"]


def test_layers_that_collapse_are_counted():
    records = grid()
    assert not any("collapse" in line for line in conclusions_of(records))
    signs = records["warnings"].isel(epoch=-1)
    signs.loc[at(0.1, 10.0)] = "z_1: one (0): do this\nz_1: another (1): do that"
    signs.loc[at(10.0, 10.0)] = "z_2: one (0): do this\nz_1: one (0): do this"
    # Of another epoch, not of the end; and of a run that is not done nothing is known.
    records["warnings"][0, 0, 0, 0] = "z_2: one (0): do this"
    records["missing"].loc[at(1.0, 1.0, seed=0)] = True
    (line,) = [line for line in conclusions_of(records) if "collapse" in line]
    assert line == (
        "At the end 4 of 17 runs show signs of collapse: z_2 in 2, z_1 in 4. "
        "In 4: z_1: one: do this. In 2: z_1: another: do that. In 2: z_2: one: do this."
    )


@pytest.mark.parametrize(
    ("layers", "names"),
    [(2, ("z_2", "z_1")), (3, ("z_3", "z_2 to z_1")), (4, ("z_4 to z_3", "z_2 to z_1"))],
)
def test_halves_are_the_upper_and_the_lower_layers(layers, names):
    records = grid(layers=layers)
    assert half_names(records) == names
    upper, lower = halves(records)
    rates = records["rates"].values
    np.testing.assert_allclose(upper, rates[..., : layers // 2].sum(-1))
    np.testing.assert_allclose(lower, rates[..., layers // 2 :].sum(-1))


# --- figures --------------------------------------------------------------------------


@pytest.mark.slow
@parametrize(
    "shape",
    [
        {"tops": 1, "bottoms": 3, "channels": 3},
        {"layers": 12, "seeds": 1},
        {"layers": 1, "bottoms": 1},
    ],
    ids=str,
)
def test_figures_and_summary_are_made_of_any_grid(tmp_path, shape):
    records = grid(**shape)
    if shape.get("layers"):
        records["accuracy"].loc[{"layer": records["layer"].values[6:]}] = np.nan
    assert len(draw_rate_figures(records, uses(records), tmp_path)) == 7
    assert "## All cells" in summary_of(records)


# --- as the paper measured, and one layer ---------------------------------------------


def with_protocol(records):
    """Beside them what the paper measured, and two one-layer VAEs."""
    shape, random = [records.sizes[name] for name in GRID], np.random.default_rng(2)
    layers, classifiers = records.sizes["layer"], records.sizes["classifier"]
    line = (2, records.sizes["seed"])
    baseline = {
        f"baseline_{name}": (("price", "seed"), random.uniform(1, 2, line))
        for name in ("rate", "distortion", "psnr", "accuracy", "inception_score")
    }
    return records.assign(
        split_accuracy=(
            (*GRID, "layer", "classifier"),
            np.full((*shape, layers, classifiers), 0.7),
        ),
        reconstruction_accuracy=(GRID, np.full(shape, 0.6)),
        split_score=(GRID, np.full(shape, 3.5)),
        split_score_deviation=(GRID, np.full(shape, 0.25)),
        psnr=(GRID, random.uniform(15, 25, shape)),
        inception_score=(GRID, random.uniform(2, 5, shape)),
        **baseline,
    ).assign_coords(price=[0.1, 10.0])


def test_what_the_paper_measures_is_a_table_of_all_cells_with_the_best_classifier():
    records = with_protocol(grid())
    records["split_accuracy"].loc[at(0.1, 10.0, layer="z_2", classifier=CLASSIFIERS[1])] = 0.9
    table, _ = protocol_tables(records)
    assert table.title == "As Xiao and Bamler measure"
    assert len(table.rows) == 9
    assert ["0.1", "10", "0.900", "0.700", "0.600", "3.50±0.25"] in [
        [*row.values()] for row in table.rows
    ]


def test_what_is_not_known_of_a_cell_is_a_dot():
    records = with_protocol(grid())
    records["suspect"].loc[at(0.1, 10.0)] = True
    table = protocol_tables(records)[0]
    assert ["0.1", "10", *"····"] in [[*row.values()] for row in table.rows]
    assert "| 0.1 | 10 | · | · | · | · | · | · | · | yes |" in summary_of(records)


def test_one_layer_vaes_have_a_row_for_every_beta():
    records = with_protocol(grid())
    records["baseline_rate"].loc[{"price": 10.0}] = [3.0, 5.0]
    _, table = protocol_tables(records)
    assert table.title == "One-layer VAEs of the same size"
    assert [*table.rows[-1].values()][:2] == ["10", "4.0"]


def test_records_without_them_have_no_such_tables():
    assert protocol_tables(grid()) == []


@pytest.mark.slow
def test_one_layer_vaes_are_drawn_beside_the_cells(tmp_path):
    records = with_protocol(grid())
    draw_baseline(records, tmp_path / "baseline.png")
    assert (tmp_path / "baseline.png").stat().st_size > 10_000
    # Where all layers are too wide to be classified, too.
    records["accuracy"][:] = np.nan
    records["baseline_accuracy"][:] = np.nan
    draw_baseline(records, tmp_path / "wide.png")
    files = draw_rate_figures(records, uses(records), tmp_path)
    assert "accuracy" not in {file.stem for file in files}


@pytest.mark.slow
def test_one_cell_is_drawn_and_one_layer_vaes_beside_it(tmp_path):
    records = with_protocol(grid(tops=1, bottoms=1, seeds=1))
    *others, baseline = draw_rate_figures(records, uses(records), tmp_path)
    assert len(others) == 7
    assert baseline.name == "baseline.png"
    assert baseline.stat().st_size > 10_000
    assert "## All cells" in summary_of(records)


def test_the_upper_half_of_one_layer_is_no_layer():
    records = grid(layers=1)
    assert half_names(records) == ("no layer", "z_1")
    upper, lower = halves(records)
    np.testing.assert_array_equal(upper, np.zeros_like(upper))
    np.testing.assert_array_equal(lower, records["rates"].sel(layer="z_1"))
