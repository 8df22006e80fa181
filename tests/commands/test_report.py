"""`jaxvae report`: the figures and the page of a saved run."""

import json
import re
import shutil

import jax
import matplotlib.image
import pytest
import xarray as xr

from jaxvae.analysis.evaluation import evaluate
from jaxvae.cli import main
from jaxvae.data import load
from jaxvae.runs.provenance import noted
from jaxvae.runs.saved import open_run
from tests.commands.refusals import assert_refused

FIGURES = ["reconstructions.png", "samples.png", "traversals.png"]
RESULTS = ["report.html", *(f"figures/{name}" for name in FIGURES)]


@pytest.mark.slow
def test_figures_and_a_page_are_written_into_the_folder_of_the_run(saved_run, capsys):
    capsys.readouterr()
    assert main(["report", str(saved_run), "--examples", "60"]) == 0
    out = saved_run / "figures"
    assert sorted(path.name for path in out.iterdir()) == FIGURES
    page = saved_run / "report.html"
    *answer, empty, one, other, third, last = capsys.readouterr().out.splitlines()
    assert [one, other, third] == [str(out / name) for name in FIGURES]
    assert (empty, last) == ("", f"page: {page}")
    assert answer[0].startswith("On 60 held-out images of sprites the negative ELBO is ")
    assert "collapsed to the prior." in answer[1]
    assert all(sentence.partition("`")[0] in page.read_text() for sentence in answer)
    for name in FIGURES:
        assert matplotlib.image.imread(out / name).std() > 0.01
    assert page.stat().st_size < 8e6


@pytest.mark.slow
def test_the_page_says_what_held_out_images_cost_at_the_snapshots(saved_run, tmp_path):
    assert main(["report", str(saved_run), "--examples", "60", "--out", str(tmp_path)]) == 0
    images = load("sprites", image_size=16, train_size=200).test.images[:60]
    key = jax.random.key(0)
    costs = []
    for step in (3, 6):
        run = open_run(saved_run, step)
        found = evaluate(run.vae, run.variables, images, key=key)
        costs.append(found.examples.distortion + found.examples.rates.sum(axis=1, dtype=float))
    text = (tmp_path / "report.html").read_text()
    said = re.search(r"On 60 held-out images of sprites the negative ELBO is ([\d.]+) ±", text)
    assert float(said[1]) == pytest.approx(costs[1].mean(), abs=0.05)
    change = re.search(r"From step 3 to 6 .* changed by ([+-][\d.]+) ± ([\d.]+) nats", text)
    differences = costs[1] - costs[0]
    stderr = differences.std(ddof=1) / 60**0.5
    assert float(change[1]) == pytest.approx(differences.mean(), abs=float(stderr) / 10)
    assert float(change[2]) == pytest.approx(stderr, rel=0.1)


@pytest.mark.slow
def test_another_snapshot_into_another_folder_differs(saved_run, tmp_path):
    for step in ("3", "6"):
        arguments = ["--snapshot", step, "--out", str(tmp_path / step), "--examples", "5"]
        assert main(["report", str(saved_run), *arguments]) == 0
    for name in RESULTS:
        assert (tmp_path / "3" / name).read_bytes() != (tmp_path / "6" / name).read_bytes()


@pytest.mark.slow
def test_a_report_is_the_same_again(saved_run, tmp_path):
    for name in ("one", "other"):
        arguments = ["--out", str(tmp_path / name), "--examples", "50"]
        assert main(["report", str(saved_run), *arguments]) == 0
    for name in RESULTS:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--snapshot", "4"], "found that of step 3, 6, asked for step 4"),
        (["--example", "10", "--examples", "10"], "expected an example from 0 to 9, got 10"),
        (["--examples", "0"], "expected --examples from 1 to 10000, got 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_has_status_2_one_line_and_leaves_nothing(
    saved_run, tmp_path, capsys, arguments, message
):
    assert_refused(["report", saved_run, "--out", tmp_path / "new", *arguments], message, capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["absent", "."])
def test_a_folder_that_holds_no_run_is_refused(tmp_path, capsys, folder):
    assert main(["report", str(tmp_path / folder)]) == 2
    assert "expected a run in" in capsys.readouterr().err


@pytest.mark.slow
def test_two_runs_are_compared_in_words_tables_and_files(saved_run, tmp_path, capsys):
    other = shutil.copytree(saved_run, tmp_path / "other")
    shutil.rmtree(other / "snapshots/step-0000000006")
    settings = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps(settings | {"learning_rate": 0.1}))
    curve = {"begun": 0, "steps": [3, 6], "means": {"loss": [2.0, 1.0]}}
    (other / "curve.json").write_text(json.dumps(curve))
    with noted(other, "training", "jaxvae train"):
        pass
    (made,) = (other / "made").glob("*.json")
    made.write_text(made.read_text().replace('"seconds": 0.0', '"seconds": 61.5'))
    given = ["--examples", "60", "--out", str(tmp_path / "out")]
    assert main(["report", str(saved_run), str(other), *given]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "on the same 60 held-out images" in printed
    assert f"{saved_run.name} and other differ in learning_rate (0.0001 and 0.1)." in printed
    assert "Two single trainings do not tell how much another seed would change" in printed
    assert "learning_rate 0.0001 0.1" in printed
    assert "unknown 1 min 2 s" in printed
    files = {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.*")}
    names = {
        "records.nc",
        "summary.md",
        "report.html",
        "figures/costs.png",
        "figures/reconstructions.png",
    }
    assert {str(file) for file in files} == names
    summary = (tmp_path / "out/summary.md").read_text()
    assert "| learning_rate | 0.0001 | 0.1 |" in summary
    page = (tmp_path / "out/report.html").read_text()
    assert "Negative ELBO of every held-out image" in page
    assert "Loss and its terms over training" in page
    assert "<img src=" in page
    # Another comparison of runs of these names.
    (tmp_path / "elsewhere").mkdir()
    third = shutil.copytree(other, tmp_path / "elsewhere/other")
    assert main(["report", str(saved_run), str(third), *given]) == 2
    assert f"of a comparison of {saved_run} and {other}" in capsys.readouterr().err
    assert (tmp_path / "out/summary.md").read_text() == summary
    # The same one, of runs whose nats are not comparable by now.
    (other / "run.json").write_text(json.dumps(settings | {"likelihood": "gaussian"}))
    assert main(["report", str(saved_run), str(other), *given]) == 0
    assert "are not compared: nats of one likelihood" in capsys.readouterr().out
    assert list((tmp_path / "out/figures").iterdir()) == []
    page = (tmp_path / "out/report.html").read_text()
    assert not any(each in page for each in ("costs.png", "every held-out image", "<img src="))


@pytest.mark.parametrize("name", ["records.nc", "report.html"])
def test_two_runs_are_compared_into_no_folder_of_other_results(saved_run, tmp_path, capsys, name):
    other, out = shutil.copytree(saved_run, tmp_path / "other"), tmp_path / "out"
    out.mkdir()
    xr.Dataset({"a": 1}).to_netcdf(out / name)
    before = (out / name).read_bytes()
    assert main(["report", str(saved_run), str(other), "--out", str(out)]) == 2
    said = f"expected no other results in {out}, got those of another command, or of an earlier"
    assert said in capsys.readouterr().err
    assert (out / name).read_bytes() == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--snapshot", "3"], "expected no --snapshot for two runs, got 3"),
        (["--example", "3"], "expected no --example for two runs, got 3"),
        ([], "expected two runs to compare, got"),
    ],
)
def test_what_is_no_comparison_of_two_runs_is_refused(saved_run, tmp_path, capsys, given, message):
    arguments = [str(saved_run), str(saved_run), "--out", str(tmp_path / "out"), *given]
    assert main(["report", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
