"""The words and figures of a grid of prices, on grids made by hand."""

import numpy as np
import pytest
import xarray as xr

from jaxvae.report.rate_figures import draw_rate_figures
from jaxvae.report.rate_protocol import draw_baseline, protocol_tables
from jaxvae.report.rate_summary import (
    _explained,
    classified,
    half_names,
    halves,
    most_rate,
    rate_conclusions,
    rate_summary,
    rate_table,
    uses,
)
from tests.tiers import parametrize

GRID = ("beta_top", "beta_bottom", "seed")
CLASSIFIERS = ["logistic regression", "nearest neighbors"]
USES = [
    "reconstruction",
    "compression",
    "classification from z_2",
    "classification from z_1",
    "generation",
]


def grid(tops=3, bottoms=3, seeds=2, layers=2, channels=1):
    """Scores that differ from cell to cell by far more than their errors, and one that does not."""
    random = np.random.default_rng(0)
    shape, names = (tops, bottoms, seeds), [f"z_{i}" for i in range(layers, 0, -1)]

    def values(*inner):
        return random.uniform(1, 2, (*shape, *inner))

    by_epoch = (*GRID, "epoch")
    variables = {
        "failed": (by_epoch, np.zeros((*shape, 2), bool)),
        "warnings": (by_epoch, np.full((*shape, 2), "", object)),
        "suspect": (GRID, np.zeros(shape, bool)),
        "excess_cost": (GRID, np.zeros(shape)),
        "rates": ((*by_epoch, "layer"), 10 * values(2, layers)),
        "information_bounds": ((*by_epoch, "layer"), 10 * values(2, layers)),
        "distortion": (by_epoch, 100 * values(2)),
        "psnr": (by_epoch, 10 * values(2)),
        "psnr_stderr": (by_epoch, np.full((*shape, 2), 1e-3)),
        "bits_per_dimension": (by_epoch, values(2)),
        "bits_per_dimension_stderr": (by_epoch, np.full((*shape, 2), 1e-4)),
        "inception_score": (GRID, values()),
        "inception_score_stderr": (GRID, np.full(shape, 10.0)),
        "accuracy": ((*GRID, "layer", "kind", "classifier"), values(layers, 2, 2) / 4),
        "accuracy_stderr": ((*GRID, "layer", "kind", "classifier"), 0.01 * values(layers, 2, 2)),
        "accuracy_bound": ((*GRID, "layer"), np.full((*shape, layers), 0.9)),
        "top_accuracy_bound": (GRID, np.full(shape, 0.8)),
        "known_information": ((*GRID, "layer"), values(layers)),
        "input_dimension": (GRID, np.full(shape, 12.0)),
        "size": ("layer", [3] * layers),
        "label_shares": ("label", np.full(10, 0.1)),
        "example_input": (
            ("example", "height", "width", "channel"),
            random.integers(0, 256, (4, 8, 8, channels), np.uint8),
        ),
    }
    for name in ("intrinsic_dimension", "imbalance_to_input", "imbalance_from_input"):
        variables[name] = ((*GRID, "layer", "kind"), values(layers, 2) / 2)
    for name in ("example_reconstruction", "example_sample"):
        pixels = random.integers(0, 256, (*shape, 4, 8, 8, channels), np.uint8)
        variables[name] = ((*GRID, "example", "height", "width", "channel"), pixels)
    coords = {
        "beta_top": np.geomspace(0.1, 10, tops).round(6),
        "beta_bottom": np.geomspace(0.1, 10, bottoms).round(6),
        "seed": range(seeds),
        "epoch": [1, 5],
        "layer": names,
        "kind": ["sample", "mean"],
        "classifier": CLASSIFIERS,
    }
    attributes = {"data": "mnist", "binarized": 1, "network": "two_layer"}
    return xr.Dataset(variables, coords, attributes)


def at(top, bottom, **more):
    return {"beta_top": top, "beta_bottom": bottom, **more}


# --- best cells -----------------------------------------------------------------------


def test_the_best_cell_of_a_use_has_the_largest_mean_over_seeds():
    records = grid()
    records["psnr"].loc[at(0.1, 10.0, epoch=5)] = [30.0, 28.0]
    records["bits_per_dimension"].loc[at(1.0, 1.0, epoch=5)] = 0.1
    found = {use.name: use.best for use in uses(records)}
    assert list(found) == USES
    assert found["reconstruction"] == (0.1, 10.0)
    assert found["compression"] == (1.0, 1.0)


def test_runs_that_failed_or_are_suspect_are_in_no_best_cell_and_no_mean():
    records = grid()
    records["psnr"].loc[at(0.1, 10.0, epoch=5)] = [30.0, 2.0]
    records["suspect"].loc[at(0.1, 10.0, seed=1)] = True
    records["psnr"].loc[at(1.0, 10.0, epoch=5)] = [90.0, 90.0]
    records["failed"].loc[at(1.0, 10.0, epoch=5)] = True
    (reconstruction, *_) = uses(records)
    assert reconstruction.best == (0.1, 10.0)
    assert "| reconstruction | 0.1 | 10 | " in rate_summary(records)
    assert "| 30.0 |" in rate_summary(records).split("## All cells")[0]


def test_a_use_without_any_trusted_score_is_left_out():
    records = grid()
    records["accuracy"].loc[{"layer": "z_1"}] = np.nan
    records["inception_score"][:] = np.nan
    assert [use.name for use in uses(records)] == USES[:3]
    records["suspect"][:] = True
    assert uses(records) == []
    assert rate_table(records).row_count == 0
    assert "Best cells" not in rate_summary(records)


def test_best_cells_are_apart_only_where_the_errors_leave_no_doubt():
    records = grid()
    records["psnr"].loc[at(0.1, 10.0, epoch=5)] = 30.0
    records["bits_per_dimension"].loc[at(1.0, 1.0, epoch=5)] = 0.1
    line = rate_conclusions(records)[1]
    assert "reconstruction at beta 0.1 and 10 (alone)" in line
    assert "generation at" in line
    assert "(8 more within 2 standard errors)" in line
    apart = line.partition("Clearly apart are the best cells of ")[2]
    assert "reconstruction and compression" in apart
    assert "generation" not in apart


# --- claims ---------------------------------------------------------------------------


def test_only_bounds_below_one_count_and_a_broken_one_is_said():
    records = grid()
    assert "never broken" in rate_conclusions(records)[0]
    assert "in the 72 classifiers of samples" in rate_conclusions(records)[0]
    place = {"layer": "z_1", "kind": "sample", "classifier": CLASSIFIERS[0], "seed": 0}
    records["accuracy"].loc[at(0.1, 0.1, **place)] = 0.99
    assert "BROKEN 1 times" in rate_conclusions(records)[0]
    records["accuracy_bound"][:] = 1.0
    records["top_accuracy_bound"][:] = 1.0
    assert "it is 1, and cannot be broken" in rate_conclusions(records)[0]


def test_the_tighter_bound_of_the_top_layer_counts():
    records = grid()
    place = {"layer": "z_2", "kind": "sample", "classifier": CLASSIFIERS[0], "seed": 0}
    records["accuracy"].loc[at(0.1, 0.1, **place)] = 0.85
    records["accuracy_stderr"].loc[at(0.1, 0.1, **place)] = 0.01
    assert "BROKEN 1 times" in rate_conclusions(records)[0]


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
    assert "2 cost over a nat more at their prices" in rate_conclusions(records)[-1]
    assert "up to 38" in rate_conclusions(records)[-1]


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
    assert not any("collapse" in line for line in rate_conclusions(records))
    signs = records["warnings"].isel(epoch=-1)
    signs.loc[at(0.1, 10.0)] = "z_1: one (0): do this\nz_1: another (1): do that"
    signs.loc[at(10.0, 10.0)] = "z_2: one (0): do this\nz_1: one (0): do this"
    # Of another epoch, not of the end.
    records["warnings"][0, 0, 0, 0] = "z_2: one (0): do this"
    (line,) = [line for line in rate_conclusions(records) if "collapse" in line]
    assert line == "At the end 4 of 18 runs show signs of collapse: z_2 in 2, z_1 in 4."


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
        {"tops": 1, "bottoms": 3},
        {"layers": 12, "seeds": 1},
        {"layers": 1, "bottoms": 1},
        {"channels": 3},
        {"tops": 1, "bottoms": 1, "seeds": 1},
    ],
    ids=str,
)
def test_figures_and_summary_are_made_of_any_grid(tmp_path, shape):
    records = grid(**shape)
    if shape.get("layers"):
        records["accuracy"].loc[{"layer": records["layer"].values[6:]}] = np.nan
    assert len(draw_rate_figures(records, tmp_path)) == 7
    assert "## All cells" in rate_summary(records)


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
        **baseline,
    ).assign_coords(price=[0.1, 10.0])


def test_what_the_paper_measures_is_a_table_of_all_cells_with_the_best_classifier():
    records = with_protocol(grid())
    records["split_accuracy"].loc[at(0.1, 10.0, layer="z_2", classifier=CLASSIFIERS[1])] = 0.9
    heading, table, *_ = protocol_tables(records)
    assert heading == "## As Xiao and Bamler measure"
    assert len(table.splitlines()) == 2 + 9
    assert "| 0.1 | 10 | 0.900 | 0.700 | 0.600 | 3.50±0.25 |" in table


def test_one_layer_vaes_have_a_row_for_every_price():
    records = with_protocol(grid())
    records["baseline_rate"].loc[{"price": 10.0}] = [3.0, 5.0]
    heading, table, _ = protocol_tables(records)[3:]
    assert heading == "## One-layer VAEs of the same size"
    assert table.splitlines()[-1].startswith("| 10 | 4.0 | ")


def test_records_without_them_have_no_such_tables():
    assert protocol_tables(grid()) == []


@pytest.mark.slow
@parametrize("shape", [{}, {"tops": 1, "bottoms": 1, "seeds": 1}], ids=str)
def test_one_layer_vaes_are_drawn_beside_the_cells(tmp_path, shape):
    draw_baseline(with_protocol(grid(**shape)), tmp_path / "baseline.png")
    assert (tmp_path / "baseline.png").stat().st_size > 10_000


def test_the_upper_half_of_one_layer_is_no_layer():
    records = grid(layers=1)
    assert half_names(records) == ("no layer", "z_1")
    upper, lower = halves(records)
    np.testing.assert_array_equal(upper, np.zeros_like(upper))
    np.testing.assert_array_equal(lower, records["rates"].sel(layer="z_1"))
