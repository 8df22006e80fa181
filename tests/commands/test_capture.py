"""`jaxvae capture`: the layers of a saved run on disk."""

import importlib

import jax
import numpy as np
import pytest

from jaxvae.analysis import capture
from jaxvae.cli import main
from jaxvae.data import load, open_taps
from jaxvae.runs import checkpoint
from jaxvae.runs.building import build_model
from jaxvae.runs.config import RunConfig, write_config
from jaxvae.runs.saved import open_run
from tests.commands.refusals import assert_refused
from tests.data.prepared import needs

pytest.importorskip("zarr", minversion="3")


def expected(saved_run, images, step=None, seed=0):
    opened = open_run(saved_run, step)
    return capture(opened.vae, opened.variables, images, key=jax.random.key(seed))


def assert_same_taps(path, taps):
    written = open_taps(path)
    assert list(written) == list(taps)
    for name, tap in taps.items():
        np.testing.assert_array_equal(np.asarray(written[name]), tap)


@pytest.mark.parametrize("name", ["taps", "taps.zarr"])
def test_what_is_written_is_what_the_library_captures(saved_run, tmp_path, name, capsys):
    out = str(tmp_path / name)
    assert main(["capture", str(saved_run), "--out", out, "--examples", "120"]) == 0
    images = load("sprites", image_size=16, train_size=1, test_size=120).test.images
    assert_same_taps(tmp_path / name, expected(saved_run, images))
    before, after, _ = capsys.readouterr().out.splitlines()
    taps = open_taps(tmp_path / name).values()
    size = sum(np.asarray(tap).nbytes for tap in taps) / 2**10
    assert before.startswith(f"{size:.1f} KiB for 7 layers of 120 images; ")
    assert after.startswith("7 layers of 120 images at step 6")


def test_split_snapshot_seed_and_layers_are_chosen(saved_run, tmp_path):
    chosen = ["--split", "train", "--snapshot", "3", "--seed", "5", "--layers", "sample,mean"]
    assert main(["capture", str(saved_run), "--out", str(tmp_path / "taps"), *chosen]) == 0
    images = load("sprites", image_size=16, train_size=200, test_size=1).train.images
    taps = expected(saved_run, images, step=3, seed=5)
    assert_same_taps(tmp_path / "taps", {name: taps[name] for name in ("mean", "sample")})


def test_what_was_captured_can_be_measured(saved_run, tmp_path, capsys):
    taps = str(tmp_path / "taps")
    assert main(["capture", str(saved_run), "--out", taps, "--examples", "100"]) == 0
    assert main(["measure", f"{taps}:mean,sample", "--metrics", "cka", "--draws", "0"]) == 0
    assert "2 spaces, 100 points" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--snapshot", "4"], "expected a snapshot in"),
        (["--layers", "mean,middle"], "expected layers among input, encoder/1, "),
        (["--layers", ","], "got none"),
        (["--examples", "0"], "expected --examples from 1 to 10000, got 0"),
        (["--examples", "10001"], "expected --examples from 1 to 10000, got 10001"),
        (["--batch-size", "0"], "expected a batch_size of at least 1, got 0"),
        (["--data", "no_such_set"], "got 'no_such_set'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_has_status_2_one_line_and_leaves_nothing(
    saved_run, tmp_path, capsys, arguments, message
):
    words = ["capture", saved_run, "--out", tmp_path / "new/taps", *arguments]
    assert_refused(words, message, capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_else_is_not_replaced(saved_run, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["capture", str(saved_run), "--out", str(tmp_path)]) == 2
    assert "expected nothing or a capture, got something else" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_interrupted_capture_leaves_nothing(saved_run, tmp_path, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    # `jaxvae.analysis.capture` is also the function that the package exports.
    module = importlib.import_module("jaxvae.analysis.capture")
    monkeypatch.setattr(module, "_fetch", interrupt)
    assert main(["capture", str(saved_run), "--out", str(tmp_path / "new/taps")]) == 130
    assert capsys.readouterr().err == "Interrupted. Nothing was written.\n"
    assert list(tmp_path.iterdir()) == []


@needs("mnist")
def test_a_run_on_black_and_white_images_is_shown_such_images(tmp_path):
    config = RunConfig(
        data="mnist", binarize=True, network="dense_vae", options={"widths": [4]}, latents=2
    )
    run = tmp_path / "run"
    write_config(run / "run.json", config, image_shape=(28, 28, 1), per_epoch=5)
    init = jax.jit(build_model(config, (28, 28, 1)).init)
    checkpoint.save(run / "snapshots", 1, init(jax.random.key(0)))
    words = ["--examples", "120", "--layers", "input", "--out", str(tmp_path / "taps")]
    assert main(["capture", str(run), *words]) == 0
    shown = np.asarray(open_taps(tmp_path / "taps")["input"])
    np.testing.assert_array_equal(shown, load("mnist").test.images[:120] > 127)
