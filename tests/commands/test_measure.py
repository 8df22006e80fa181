"""`jaxvae measure` on files of arrays: what it prints, saves and refuses."""

import jax
import numpy as np
import pytest
import xarray as xr

from jaxvae.analysis.registry import METRICS
from jaxvae.cli import main
from jaxvae.commands import measure as command
from jaxvae.files.results import whole_results
from tests.clouds import gaussian
from tests.commands.refusals import assert_refused

X = gaussian(120, 3)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("pixels.npy", X)
    np.savez("layers.npz", mean=X + 0.3 * gaussian(120, 3, 1), sample=gaussian(120, 3, 2))
    np.save("labels.npy", (X[:, 0] > 0).astype(np.int64))
    return tmp_path


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_measurement_is_printed_and_saved_whole(folder, capsys):
    status = main(["measure", "pixels.npy", "layers.npz", "--metrics", "cka", "--out", "out/new"])
    printed = capsys.readouterr()
    assert (status, printed.err) == (0, "")
    assert printed.out.startswith("3 spaces, 120 points\n")
    assert "Linear CKA" in printed.out
    assert "records: out/new/records.nc" in printed.out
    assert names(folder / "out") == [
        "new", "new/figures", "new/figures/cka.png", "new/records.nc", "new/report.html",
        "new/summary.md",
    ]  # fmt: skip
    records = xr.load_dataset(folder / "out/new/records.nc")
    assert records["file"].values.tolist() == [
        "pixels.npy", "layers.npz:mean", "layers.npz:sample",
    ]  # fmt: skip
    assert "jax " in records.attrs["versions"]
    assert records["cka"].sel(space="pixels", space_to="mean") > 0.8


def test_points_that_repeat_others_are_said(folder, capsys):
    np.savez("pairs.npz", x=np.repeat(X, 2, axis=0), y=np.repeat(X[:, :2], 2, axis=0))
    assert main(["measure", "pairs.npz:x", "--metrics", "id", "--draws", "0"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "120 of the 240 points repeat another one in every space" in said
    np.savez("half.npz", x=np.repeat(X, 2, axis=0), y=gaussian(240, 3))
    assert main(["measure", "half.npz", "--metrics", "cka", "--draws", "0"]) == 0
    assert "repeat another" not in capsys.readouterr().out


@pytest.mark.slow
def test_every_metric_is_printed_saved_and_drawn(folder, capsys):
    names_of_all = ",".join(METRICS)
    options = ["--labels", "labels.npy", "--draws", "2", "--out", "out", "--k", "5"]
    np.savez("layers.npz", mean=gaussian(140, 3), sample=gaussian(140, 3, 2))
    np.save("labels.npy", np.arange(140) % 3)
    assert main(["measure", "layers.npz", "--metrics", names_of_all, *options]) == 0
    # A title is as wide as its table.
    printed = " ".join(capsys.readouterr().out.split())
    assert all(metric.title in printed for metric in METRICS.values())
    drawn = {path.stem for path in (folder / "out/figures").iterdir()}
    assert drawn == set(METRICS)
    records = xr.load_dataset(folder / "out/records.nc")
    assert records["gride"].dims == ("space", "rank")
    assert records["rank"].values.tolist() == [1, 2, 4, 8, 16, 32]


def test_without_a_folder_nothing_is_saved_and_it_says_so(folder, capsys):
    before = names(folder)
    assert main(["measure", "layers.npz:mean,sample", "--metrics", "cka"]) == 0
    assert "Not saved: --out DIR" in capsys.readouterr().out
    assert names(folder) == before


def test_the_points_drawn_follow_the_seed(folder, capsys):
    arguments = ["measure", "layers.npz", "--metrics", "cka", "--points", "100", "--seed"]
    printed = []
    for seed in ("4", "4", "5"):
        assert main([*arguments, seed]) == 0
        printed.append(capsys.readouterr().out)
    assert "100 points of 120, drawn with seed 4" in printed[0]
    assert printed[0] == printed[1]
    assert printed[0] != printed[2].replace("seed 5", "seed 4")


@pytest.mark.parametrize(
    ("files", "labelled", "expected"),
    [
        (["pixels.npy"], False, ("id",)),
        (["layers.npz"], False, ("id", "imbalance", "cka")),
        (["layers.npz"], True, ("id", "imbalance", "cka", "label-overlap")),
    ],
    ids=["one space", "two spaces", "labels"],
)
def test_the_default_metrics_are_those_that_apply(folder, monkeypatch, files, labelled, expected):
    class AskedError(Exception):
        pass

    def measure(*_, metrics, **__):
        raise AskedError(metrics)

    monkeypatch.setattr(command, "measure", measure)
    with pytest.raises(AskedError) as caught:
        main(["measure", *files, *(["--labels", "labels.npy"] if labelled else [])])
    assert caught.value.args == (expected,)


def test_help_names_every_metric_and_gives_examples(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["measure", "--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert all(f"  {name} " in text for name in METRICS)
    assert "examples:\n  jaxvae measure " in text


# --- interruption and refusals --------------------------------------------------------


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["measure", "write_page"])
def test_an_interrupted_measurement_leaves_nothing_behind(folder, capsys, monkeypatch, step):
    before = names(folder)
    monkeypatch.setattr(command, step, interrupt)
    assert main(["measure", "layers.npz", "--metrics", "cka", "--out", "out/new"]) == 130
    assert capsys.readouterr().err == "Interrupted. Nothing was written.\n"
    assert names(folder) == before


def test_results_that_are_there_stay_whole_until_all_new_ones_are(folder, monkeypatch):
    arguments = ["measure", "layers.npz", "--metrics", "cka", "--out", "out"]
    assert main(arguments) == 0
    before = {name: (folder / "out" / name).stat().st_mtime_ns for name in names(folder / "out")}
    monkeypatch.setattr(command, "write_page", interrupt)
    assert main([*arguments, "--seed", "1"]) == 130
    assert {name: (folder / "out" / name).stat().st_mtime_ns for name in before} == before


def test_figures_of_another_measurement_do_not_stay(folder):
    for metric in ("cka", "procrustes"):
        assert main(["measure", "layers.npz", "--metrics", metric, "--out", "out"]) == 0
    assert names(folder / "out/figures") == ["procrustes.png"]


# XLA's errors reach Python as the one or the other, by the way the program was started.
@pytest.mark.parametrize("kind", [jax.errors.JaxRuntimeError, ValueError])
def test_a_device_without_memory_has_status_1(kind, folder, capsys, monkeypatch):
    def exhausted(*_, **__):
        raise kind("RESOURCE_EXHAUSTED: Out of memory\nmany details")

    monkeypatch.setattr(command, "measure", exhausted)
    assert main(["measure", "layers.npz"]) == 1
    assert capsys.readouterr().err == "stopped: RESOURCE_EXHAUSTED: Out of memory\n"


def test_files_of_a_folder_that_are_not_results_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with whole_results(tmp_path) as part:
        (part / "figures").mkdir()
        (part / "figures" / "new.png").write_text("new")
    assert names(tmp_path) == ["figures", "figures/new.png", "notes.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.npy"], "absent.npy: expected a .npy or .npz file, found none"),
        (["layers.npz:x"], "layers.npz:x: expected keys among mean, sample; got x"),
        (["layers.npz:mena"], "layers.npz:mena: expected keys among mean, sample; got mena"),
        (["short.npy", "pixels.npy"], "the same number of points in every space, got short 20, "),
        (["labels.npy"], "labels: expected an array [n, ...] of points with features"),
        (["both.npz"], "write jaxvae measure both.npz:x --labels both.npz:y"),
        (["nan.npy"], "nan: expected finite values, got NaN or infinity in row 7"),
        (["short.npy", "--metrics", "id,mi"], "expected metrics among id, id-mle"),
        (["short.npy", "--metrics", ","], "expected at least one metric among id"),
        (["short.npy", "--parts", "21"], "expected 2 to n = 20 parts, got 21"),
        (["short.npy", "--metrics", "cka"], "expected at least two spaces for cka"),
        (["pixels.npy", "--labels", "layers.npz"], "expected one array, got mean, sample; choose"),
        (["pixels.npy", "--seed", "-1"], "expected --seed of 0 to 4294967295, got -1"),
        (["pixels.npy", "--out", "pixels.npy/out"], "a folder that can be written for --out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_has_status_2_one_line_and_leaves_nothing(folder, capsys, arguments, message):
    np.save("short.npy", X[:20])
    np.savez("both.npz", x=X, y=np.arange(120))
    spoiled = X.copy()
    spoiled[7] = np.nan
    np.save("nan.npy", spoiled)
    before = names(folder)
    out = [] if "--out" in arguments else ["--out", "out"]
    assert_refused(["measure", *arguments, *out], message, capsys)
    assert names(folder) == before
