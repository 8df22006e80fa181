"""The report of a measurement from records made by hand."""

import io

import matplotlib.image
import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from jaxvae.analysis.measure import Measurement, Measurements
from jaxvae.report.measurement import as_records, metrics_of, title
from jaxvae.report.measurement_figures import draw_measurements
from jaxvae.report.measurement_page import measurement_page
from jaxvae.report.measurement_tables import cells, summary, table

FORMS = {"id": "spaces", "gride": "scales", "imbalance": "pairs", "cka": "pairs"}


def make_records(spaces=3, *, draws=5, metrics=FORMS, available=4000, value=0.25, error="subsets"):
    """Records with an error of 0.0123 and a null of 0.875."""
    names = tuple(f"encoder/{place}" for place in range(spaces))
    ranks, shapes = 2 ** np.arange(7), {"spaces": (), "scales": (7,), "pairs": (spaces,)}
    measured = {}
    for name in metrics:
        full = np.ones((spaces, *shapes[FORMS[name]]))
        scales = FORMS[name] == "scales"
        measured[name] = Measurement(
            value=value * full,
            stderr=0.0123 * full,
            subset=0.5 * full,
            null=(0.875 if draws else np.nan) * full,
            null_spread=(0.0625 if draws else np.nan) * full,
            distinct=np.full(spaces, 1999) if name == "id" else None,
            ranks=ranks if scales else None,
            radii=full if scales else None,
            k=1 if name == "imbalance" else None,
            error=error,
        )
    found = Measurements(names, (784,) * spaces, 2000, available, 10, draws, 0, measured)
    files = [f"layers.npz:{name}" for name in names]
    return as_records(found, files=files, attributes={"seed": 3, "versions": "jaxvae 0"})


def shown(records, name, width):
    console = Console(file=io.StringIO(), width=width, markup=False)
    console.print(table(records, name, width=width))
    return console.file.getvalue()


def test_records_are_labelled_and_survive_the_disk(tmp_path):
    records = make_records()
    records.to_netcdf(tmp_path / "records.nc")
    read = xr.load_dataset(tmp_path / "records.nc")
    assert read["imbalance"].sel(space="encoder/0", space_to="encoder/2") == 0.25
    assert read["gride_null"].sel(space="encoder/1", rank=64) == 0.875
    assert read["id_distinct"].sel(space="encoder/1") == 1999
    assert read["imbalance"].attrs["k"] == 1
    assert read["file"].values.tolist()[0] == "layers.npz:encoder/0"
    assert (read.attrs["points"], read.attrs["seed"]) == (2000, 3)
    assert metrics_of(read) == list(FORMS)


def test_the_title_says_how_many_points_of_how_many():
    assert title(make_records()) == "3 spaces, 2,000 points of 4,000, drawn with seed 3"
    assert title(make_records(1, available=2000)) == "1 space, 2,000 points"


def test_a_metric_of_spaces_has_error_null_and_the_value_of_a_subset():
    header, rows = cells(make_records(), "id")
    assert header == ["features", "distinct\npoints", "id", "(null)", "at n =\n200"]
    texts = ["".join(cell) for cell in rows["encoder/1"]]
    assert texts == ["784", "1,999", "0.25±0.01", "0.88±0.06", "0.50"]


def test_a_metric_of_pairs_is_a_matrix_with_nulls_and_no_diagonal():
    header, rows = cells(make_records(), "imbalance")
    assert header == list(rows) == ["encoder/0", "encoder/1", "encoder/2"]
    assert rows["encoder/0"] == [("·", "", ""), *[("0.25", "±0.01", "(0.88)")] * 2]


def test_many_spaces_are_a_list_of_the_first_the_next_and_the_last():
    header, rows = cells(make_records(9), "imbalance")
    assert header == ["to the first", "to the next", "to the last"]
    assert len(rows) == 9
    assert rows["encoder/0"][0] == rows["encoder/8"][2] == ("·", "", "")


def test_decimals_show_the_smallest_error():
    records = make_records()
    records["cka_stderr"][0, 1] = 0.0004
    assert cells(records, "cka")[1]["encoder/1"][0] == ("0.2500", "±0.0123", "(0.8750)")


def test_a_metric_that_is_undefined_somewhere_is_shown():
    records = make_records()
    records["id"][1] = records["id_stderr"][1] = np.nan
    words = " ".join(shown(records, "id", 80).split())
    assert "nan" not in words
    assert " undefined " in words
    assert "A value is undefined if all points of a space are equal" in words
    assert "Undefined" not in shown(make_records(), "id", 80)


@pytest.mark.parametrize("spaces", [2, 5, 7, 8, 20])
@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("value", [0.25, 12.25])
def test_a_table_fits_the_terminal_with_every_number_whole(spaces, name, width, value):
    records = make_records(spaces, value=value)
    text = shown(records, name, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    words = text.replace("±", " ±").split()
    assert {str(value), "±0.01"} <= set(words)
    # What is broken over lines would leave a part of it.
    numbers = {word for word in words if "." in word and word[-1] in "0123456789)"}
    assert numbers <= {str(value), "±0.01", "(0.88)", "0.88", "±0.06", "0.50"}


def test_without_a_null_none_is_mentioned(tmp_path):
    records = make_records(draws=0)
    assert "null" not in summary(records)
    assert len(draw_measurements(records, tmp_path)) == len(FORMS)
    assert not any("null" in chart.reads for chart in measurement_page(records).charts)
    assert all("null" in chart.reads for chart in measurement_page(make_records()).charts)


def test_the_summary_holds_every_metric_as_a_table():
    text = summary(make_records())
    assert text.count("\n| --- |") == len(FORMS)
    assert "| encoder/1 | 784 | 1,999 | 0.25±0.01 | 0.88±0.06 | 0.50 |" in text
    assert "0.25±0.01 (0.88)" in text
    assert "(k = 1); ± standard error from disjoint subsets" in text


def test_an_error_that_is_too_large_is_said_to_be():
    text = summary(make_records(metrics=["id"], error="jackknife"))
    assert "± standard error from the jackknife, which is up to twice too large here" in text


def test_a_name_cannot_break_the_summary():
    records = make_records(2, metrics=["id"]).assign_coords(space=["a|b", "c"])
    assert r"| a\|b | 784 |" in summary(records)


@pytest.mark.slow
@pytest.mark.parametrize("spaces", [2, 6, 20])
def test_figures_are_drawn_and_not_blank(tmp_path, spaces):
    for path in draw_measurements(make_records(spaces), tmp_path / "figures"):
        pixels = matplotlib.image.imread(path)[..., :3]
        assert 0.005 < np.mean(np.any(pixels < 0.9, axis=-1)) < 0.95, path.name


def test_the_page_says_the_value_of_every_space_and_which_pairs_are_farthest():
    records = make_records(metrics=("id", "imbalance"))
    records["imbalance"].loc["encoder/2", "encoder/0"] = 0.75
    page = measurement_page(records)
    assert page.answer[0].endswith(
        "encoder/0 0.250 ± 0.012, encoder/1 0.250 ± 0.012, encoder/2 0.250 ± 0.012."
    )
    assert page.answer[1].endswith("at most 0.750 ± 0.012 from encoder/2 to encoder/0.")


def test_every_number_of_the_page_has_its_error_and_its_null_on_hover():
    for chart in measurement_page(make_records()).charts:
        of_nulls = [trace for trace in chart.traces if trace.drawn.get("name") == "null"]
        texts = np.ravel([t.drawn["text"] for t in chart.traces if t not in of_nulls])
        assert set(texts) == {"0.25 ± 0.012<br>null: 0.875"}
        for trace in of_nulls:
            assert set(trace.drawn["y"]) == {0.875}


def test_arrays_are_in_no_order_so_that_no_line_joins_them():
    chart = measurement_page(make_records(metrics=("id",))).charts[0]
    assert [trace.drawn["mode"] for trace in chart.traces] == ["markers", "markers"]
    assert [trace.drawn["name"] for trace in chart.traces] == ["value", "null"]


def test_colors_of_imbalances_begin_at_that_of_identical_spaces():
    records = make_records(metrics=("imbalance",))
    for k in (1, 3):
        records["imbalance"].attrs["k"] = k
        (chart,) = measurement_page(records).charts
        least = (k + 1) / records.attrs["points"]
        assert chart.traces[0].drawn["zmin"] == pytest.approx(np.log10(least))


def test_a_page_of_undefined_pairs_says_so():
    records = make_records(metrics=("imbalance",), value=np.nan)
    assert measurement_page(records).answer[0].endswith("undefined between all spaces.")
