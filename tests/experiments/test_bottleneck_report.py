"""The report of a sweep from records made by hand."""

import io

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from experiments.bottleneck.between_report import between_rows, between_sizes
from experiments.bottleneck.claims import claims
from experiments.bottleneck.figures import draw_figures
from experiments.bottleneck.page import bottleneck_page
from experiments.bottleneck.report import trained_runs
from experiments.bottleneck.summary import conclusion, summary, sweep_table
from jaxvae.report.tables import markdown_table
from tests.experiments.figures import drawn

SIZES = (2, 4, 8)
LAYERS = ["input", "encoder/1", "mean", "log_variance", "sample", "decoder/1", "output"]


def make_records(lost, *, seeds=2, channels=1, sizes=SIZES, epochs=(0, 3)):
    """Records whose Delta(output -> input) at the last epoch is `lost`, by bottleneck."""
    random, pixels = np.random.default_rng(0), (4, 8, 8, channels)
    runs = (len(sizes), seeds, len(epochs))
    imbalance = random.uniform(0.2, 0.9, (*runs, len(LAYERS), len(LAYERS)))
    imbalance[..., -1, 0] = np.asarray(lost)[:, None, None]
    dimension = random.uniform(2, 9, (*runs, len(LAYERS)))
    dimension[..., 0] = 7.25
    axes = ("bottleneck", "seed", "epoch")
    pictures = ("example", "height", "width", "channel")
    return xr.Dataset(
        {
            "intrinsic_dimension": ((*axes, "layer"), dimension),
            "intrinsic_dimension_stderr": ((*axes, "layer"), 0.02 * dimension),
            "scale_dimension": (
                ("bottleneck", "seed", "layer", "far_neighbor"),
                random.uniform(2, 9, (*runs[:2], len(LAYERS), 3)),
            ),
            "scale_dimension_null": (
                ("bottleneck", "far_neighbor"), random.uniform(2, 9, (len(sizes), 3)),
            ),
            "imbalance_between": (
                ("space", "bottleneck", "compared_seed", "other_bottleneck", "other_seed"),
                random.uniform(0.01, 1, (2, *runs[:2], *runs[:2])),
            ),
            "imbalance": ((*axes, "layer", "other_layer"), imbalance),
            "imbalance_to_input": ((*axes, "layer"), imbalance[..., 0]),
            "imbalance_to_output": ((*axes, "layer"), imbalance[..., -1]),
            "reconstruction": (axes, random.uniform(80, 200, runs)),
            "kl": (axes, random.uniform(1, 20, runs)),
            "active_units": (axes, np.full(runs, 2)),
            "failed": (axes, np.zeros(runs, bool)),
            "missing": (axes[:2], np.zeros(runs[:2], bool)),
            "intrinsic_dimension_null": ("bottleneck", np.asarray(sizes, float)),
            "example_reconstruction": (
                ("bottleneck", *pictures),
                random.integers(0, 256, (len(sizes), *pixels), np.uint8),
            ),
            "example_sample": (
                ("bottleneck", *pictures),
                random.integers(0, 256, (len(sizes), *pixels), np.uint8),
            ),
            "example_input": (pictures, random.integers(0, 256, pixels, np.uint8)),
        },
        coords={
            "bottleneck": list(sizes),
            "seed": range(seeds),
            "epoch": list(epochs),
            "layer": LAYERS,
            "other_layer": LAYERS,
            "far_neighbor": [2, 4, 8],
            "space": ["mean", "sample"],
            "other_bottleneck": list(sizes),
            "compared_seed": range(seeds),
            "other_seed": range(seeds),
        },
        attrs={"data": "mnist", "network": "dense", "points": 2000},
    )  # fmt: skip


def shown(table, width):
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


def test_the_conclusion_is_the_answer_of_advise_and_what_the_size_keeps():
    text = conclusion(make_records([0.3, 0.05, 0.05]))
    assert text.startswith("Use a bottleneck of 4: no larger one, up to 8, lowers Δ(output→input)")
    assert "Whether a smaller one is enough is not decided, sizes 3 to 4 remain; 2 is too" in text
    assert "At this size Δ(output→input) is 0.0500, the posterior mean has ID" in text
    assert "2 of 4 units are active" in text
    assert text.endswith("The ID of the data is 7.2 ± 0.2 (of 2,000 images).")


def test_the_conclusion_names_no_size_where_none_is_enough():
    text = conclusion(make_records([0.3, 0.2, 0.1]))
    assert text.startswith("Not decided, sizes 5 or more remain: 4 is too small")
    assert "The bottleneck is too small: 8 latents still lower Δ by 50% against 4" in text
    assert "At this size" not in text


def test_models_that_learned_next_to_nothing_are_alike_and_none_is_enough():
    text = conclusion(make_records([0.6, 0.6, 0.6]))
    assert text.startswith("Not decided: the models have learned next to nothing")
    assert "Train longer" in text
    assert conclusion(make_records([0.6, 0.05, 0.05])).startswith("Use a bottleneck of 4")


def test_one_size_and_one_seed_promise_nothing():
    text = conclusion(make_records([0.3], sizes=(2,), seeds=1))
    assert text.startswith("Not decided")
    assert "nan" not in text


# --- claims ---------------------------------------------------------------------------


def test_the_sentence_says_for_which_sizes_a_second_peak_is_shown():
    records = make_records([0.3, 0.05, 0.05], seeds=3)
    records["intrinsic_dimension"][:] = 7.0
    peaks = xr.DataArray([5.0, 7.0, 14.0], dims="bottleneck")
    records["intrinsic_dimension"].loc[{"layer": "decoder/1"}] = peaks
    records["intrinsic_dimension_stderr"] = 0.02 * records["intrinsic_dimension"]
    assert claims(records)[0] == (
        "Second peak of the ID, which is a layer of the decoder with a higher ID than input, "
        "sample and output: shown at K = 8; excluded at K = 2; not decided at K = 4 (95% "
        "confidence, 3 seeds). At K = 8, the ID of decoder/1 is 100% above the highest of theirs, "
        "and at least 86% with 95% confidence."
    )


def test_a_seed_that_failed_silences_no_claim_of_the_others():
    records = make_records([0.3, 0.05, 0.05], seeds=4, epochs=(0, 1, 5))
    expected = claims(records.isel(seed=[0, 1, 3]))
    failed = {"bottleneck": 4, "seed": 2, "epoch": 5}
    for name in ("imbalance_to_input", "intrinsic_dimension", "kl"):
        records[name].loc[failed] = np.nan
    assert claims(records) == expected
    assert "3 seeds" in expected[0]
    records["imbalance_to_input"].loc[{"bottleneck": 8, "epoch": 5}] = np.nan
    assert claims(records) == [
        "Second peak and second phase: not decided, in every seed at least one model failed."
    ]


def test_a_dimension_of_zero_or_none_shows_no_peak():
    records = make_records([0.3, 0.05, 0.05])
    records["intrinsic_dimension"].loc[{"layer": "decoder/1"}] = [[[0.0]], [[np.nan]], [[0.0]]]
    assert "not decided at K = 2, 4, 8 (" in claims(records)[0]


def test_the_sentence_says_when_a_second_phase_begins():
    records = make_records([0.3, 0.3, 0.3], epochs=(0, 1, 5, 9))
    courses = np.array([[0.4, 0.2, 0.1, 0.05], [0.4, 0.1, 0.2, 0.2], [0.4, 0.1, 0.05, 0.1]])
    records["imbalance_to_input"].loc[{"layer": "output"}] = xr.DataArray(
        courses, dims=("bottleneck", "epoch")
    )
    # From epoch 1 on it ends where it was: at K = 4, where Delta turns there, there is no phase.
    records["kl"][:] = xr.DataArray([1.0, 8.0, 10.0, 8.0], dims="epoch")
    text = claims(records)[1]
    assert "shown at K = 8; excluded at K = 2, 4 (95% confidence, 2 seeds)" in text
    assert "At K = 8 it begins at epoch 5." in text


def test_two_measured_epochs_have_no_second_phase():
    sentence = claims(make_records([0.3, 0.1, 0.1]))[1]
    assert sentence.endswith("which takes at least three measured epochs.")


def test_one_seed_decides_no_claim():
    for sentence in claims(make_records([0.3, 0.1, 0.1], seeds=1, epochs=(0, 1, 3))):
        assert "not decided; with one seed" in sentence


# --- between models -------------------------------------------------------------------


def test_models_of_different_seeds_are_compared():
    # Those of one seed are measured with the same noise.
    records = make_records([0.3, 0.2, 0.1])
    between = records["imbalance_between"]
    for seed in range(2):
        between.loc[{"compared_seed": seed, "other_seed": seed}] = 0.001
    for space in ("mean", "sample"):
        found, values = between_sizes(records, space), between.sel(space=space).values
        expected = (values[:, 0, :, 1] + values[:, 1, :, 0]) / 2
        np.testing.assert_allclose(found, expected)
        assert (expected > 0.001).all()


def test_of_one_seed_the_means_of_different_sizes_are_compared():
    records = make_records([0.3, 0.2, 0.1], seeds=1)
    means = between_sizes(records, "mean").values
    assert np.isnan(np.diag(means)).all()
    assert np.isfinite(means[~np.eye(3, dtype=bool)]).all()
    assert np.isnan(between_sizes(records, "sample")).all()
    rows = between_rows(records)
    assert [row["from, to"] for row in rows] == [f"K = {size}" for size in SIZES]
    assert rows[0]["K = 2"] == ""
    assert float(rows[0]["K = 4"]) == pytest.approx(means[0, 1], abs=5e-4)


# --- table, summary, figures ----------------------------------------------------------


def test_the_table_has_a_row_per_size_and_fits_80_columns():
    lines = shown(sweep_table(make_records([0.3, 0.2, 0.1])), 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    assert [line.split()[0] for line in lines if line.strip()[:2] in ("2 ", "4 ", "8 ")] == [
        "2", "4", "8",
    ]  # fmt: skip


def test_the_table_has_room_for_spreads_of_two_digits_before_the_point():
    records = make_records([0.4, 0.2, 0.1], sizes=(2, 16, 128))
    turns = xr.DataArray(np.linspace(0.9, 1.1, records.sizes["seed"]), dims="seed")
    for name, factor in (("intrinsic_dimension", 3.0), ("imbalance_to_input", 1.0)):
        records[name] = factor * records[name] * turns
    text = shown(sweep_table(records), 80)
    assert "…" not in text
    assert "0.4000±0.0400" in text


def test_the_summary_holds_every_number_of_the_table_and_the_sentence():
    records = make_records([0.3, 0.2, 0.1])
    text = summary(records)
    assert conclusion(records) in text
    assert "| 0.300" in text
    assert "| 7.2 |" in text


def test_the_spread_over_seeds_is_shown_only_where_there_is_one():
    records = make_records([0.3, 0.2, 0.1])
    records["kl"] = records["kl"] * 0 + xr.DataArray([3.0, 5.0], dims="seed")
    assert "| 4.0±1.0 |" in summary(records)
    assert "±" not in summary(records.isel(seed=[0])).split("ID: intrinsic")[0]


@pytest.mark.parametrize("sizes", [(2, 4, 8), (4,)])
def test_the_first_charts_of_the_page_answer_for_every_size(sizes):
    lost = [0.5, 0.25, 0.125][: len(sizes)]
    records = make_records(lost, sizes=sizes, seeds=3)
    records["intrinsic_dimension"].loc[{"layer": "decoder/1"}] += 10
    for_delta, for_dimension, *others = bottleneck_page(records).charts
    assert sum("showlegend" in chart.layout for chart in others) == 3
    delta, least = (trace.drawn for trace in for_delta.traces)
    assert delta["x"] == list(sizes)
    np.testing.assert_allclose(delta["y"], lost)
    # That of a space with itself.
    assert least["y"] == [2 / 2000] * 2
    assert least["x"][0] < sizes[0] <= sizes[-1] < least["x"][1]
    lines = {trace.drawn["name"]: trace.drawn for trace in for_dimension.traces}
    last = records["intrinsic_dimension"].isel(epoch=-1)
    for name in ("mean", "sample"):
        of_layer = last.sel(layer=name)
        np.testing.assert_allclose(lines[name]["y"], of_layer.mean("seed"))
        spread = of_layer.std("seed", ddof=1) / 3**0.5
        np.testing.assert_allclose(lines[name]["error_y"]["array"], spread)
    highest = lines["largest in the decoder"]["y"]
    np.testing.assert_allclose(highest, last.sel(layer="decoder/1").mean("seed"))
    np.testing.assert_array_equal(lines["null of the sample"]["y"], sizes)
    assert lines["data: 7.2"]["y"] == [7.25] * 2


def test_the_summary_has_the_sentences_and_the_tables_of_the_page():
    records = make_records([0.3, 0.2, 0.1])
    page, text = bottleneck_page(records), summary(records)
    assert all(sentence in text for sentence in page.answer)
    assert [len(table.rows) for table in page.tables] == [3, 3]
    for table in page.tables:
        assert f"{markdown_table(table.rows)}\n\n{table.reads}" in text


def assert_not_blank(paths):
    for path in paths:
        pixels, _ = drawn(path)
        assert 0.005 < np.mean(np.any(pixels < 230, axis=-1)) < 0.95, path.name


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "sizes"), [(3, SIZES), (1, (2,))], ids=["color", "one run"])
def test_figures_of_one_seed_are_drawn_and_not_blank(tmp_path, channels, sizes):
    records = make_records([0.3, 0.2, 0.1][: len(sizes)], seeds=1, channels=channels, sizes=sizes)
    assert_not_blank(draw_figures(records, tmp_path / "figures"))


@pytest.mark.slow
def test_a_layer_without_dimension_is_a_gap_in_the_figures(tmp_path):
    records = make_records([0.3, 0.2, 0.1])
    dimension = records["intrinsic_dimension"]
    dimension.loc[{"bottleneck": 2, "layer": "decoder/1"}] = np.nan
    paths = draw_figures(records, tmp_path)
    assert len(paths) == 7
    assert_not_blank(paths)
    assert "| · |" in summary(records)


@pytest.mark.slow
def test_figures_of_what_is_not_there_are_left_out(tmp_path):
    records = make_records([0.3, 0.2, 0.1])
    lacking = records.drop_vars(["imbalance_between", "example_input", "scale_dimension"])
    names = {path.stem for path in draw_figures(lacking, tmp_path)}
    assert names == {"dimension_profile", "imbalance_profile", "against_bottleneck", "phases"}
    assert "Δ(row" not in summary(lacking)


def test_seeds_that_are_chosen_are_chosen_in_every_dimension():
    records = make_records([0.3, 0.2, 0.1], seeds=3)
    axes = ("bottleneck", "seed", "epoch")
    records["failed"] = (axes, np.zeros((3, 3, 2), bool))
    records["missing"] = (axes[:2], np.zeros((3, 3), bool))
    said = Console(file=io.StringIO(), width=80)
    assert trained_runs(records, said) is records
    records["failed"][1, 2, 1] = True
    kept = trained_runs(records, said)
    assert "failed: K = 4, seed 2; their seeds are left out" in said.file.getvalue()
    for name in ("seed", "compared_seed", "other_seed"):
        assert kept[name].values.tolist() == [0, 1]
    records["missing"][0, 0], records["missing"][0, 1] = True, True
    kept = trained_runs(records, said)
    for name in ("bottleneck", "other_bottleneck"):
        assert kept[name].values.tolist() == [8]
    records["missing"][:] = True
    with pytest.raises(ValueError, match="of which all runs are done and none failed, got none"):
        trained_runs(records, said)
