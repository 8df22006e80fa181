"""`jaxvae data`, and images of one's own in other commands."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from experiments.bottleneck.config import PRESETS
from jaxvae.cli import main
from jaxvae.commands.experiment import _parse
from jaxvae.data import load
from jaxvae.runs.images import _loaded
from jaxvae.sweeps.job import Job
from jaxvae.sweeps.launch import run

IMAGES = np.random.default_rng(0).random((260, 5, 5))
SMALL = ["--network", "dense_vae", "--option", "widths=8", "--latents", "2", "--batch-size", "20"]


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVAE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", IMAGES)
    _loaded.cache_clear()


def words(text):
    return " ".join(text.split())


def test_a_set_is_described_measured_and_drawn(tmp_path, capsys):
    np.savez("a.npz", images=IMAGES, labels=np.array(["no", "yes"])[np.arange(260) % 2])
    assert main(["data", "a.npz", "--points", "220"]) == 0
    said = words(capsys.readouterr().out)
    assert "234 images for training and 26 held out, 5 x 5, gray, from 0 to 255" in said
    assert re.search(r"labels for training: no 1\d\d, yes 1\d\d", said)
    # Random pixels fill all 25 dimensions; TwoNN underestimates them.
    assert said.endswith(f"find a bottleneck for them: jaxvae advise --data {tmp_path / 'a.npz'}")
    (dimension,) = re.findall(r"pixels 25 220 (\d+\.\d)±", said)
    assert 9 < float(dimension) < 25
    picture = np.asarray(Image.open(tmp_path / "results/data/a/samples.png"))
    assert picture.std() > 10


def test_the_dimension_is_that_of_distinct_images(capsys):
    np.save("b.npy", np.concatenate([IMAGES, IMAGES[:130]]))
    assert main(["data", "b.npy", "--value-range", "0:1"]) == 0
    said = words(capsys.readouterr().out)
    (count,) = re.findall(r"The intrinsic dimension is that of (\d+) distinct images, of 351", said)
    distinct = len(np.unique(load("b.npy").train.images, axis=0))
    assert int(count) == distinct < 260
    assert "repeat another" not in said
    assert said.endswith("b.npy, and the same options")


def test_without_a_set_all_that_are_here_are_listed(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    main(["data", "images.npy", "--points", "3"])
    assert main(["data"]) == 0
    said = words(capsys.readouterr().out)
    assert "sprites any number, rendered" in said
    assert "cache: 1 decoded set, " in said
    assert f" KiB, in {tmp_path / 'cache' / 'datasets'}" in said


def test_decoded_images_whose_files_are_gone_or_have_changed_are_removed(tmp_path, capsys):
    places = [tmp_path / f"{name}.npy" for name in ("same", "changed", "gone")]
    for place in places:
        np.save(place, IMAGES)
        load(place)
    (tmp_path / "linked.npy").symlink_to(places[0])
    load("./linked.npy")
    np.save(places[1], IMAGES[:200])
    places[2].unlink()
    (tmp_path / "cache/datasets/mnist-3.0.1").mkdir()
    capsys.readouterr()
    assert main(["data"]) == 0
    said = words(capsys.readouterr().out)
    assert "cache: 5 decoded sets, " in said
    assert "of these, 2 decoded sets, " in said
    for left in (2, 0):
        assert main(["data", "--clean"]) == 0
        assert f"removed from the cache: {left} decoded sets, " in words(capsys.readouterr().out)
    names = sorted(path.name for path in (tmp_path / "cache/datasets").iterdir())
    assert [name.rpartition("-")[0] for name in names] == ["mnist", "own-linked", "own-same"]
    assert main(["data", "--clean", str(places[0])]) == 2
    assert "expected --clean alone, got it with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["images.npy", "--prepare"], "expected the name of a set of TensorFlow Datasets"),
        (["--prepare"], "expected a data set to prepare, such as mnist, got none"),
        (["./image.npy"], "found nothing there: .* Close to it: images.npy"),
        (["images.npy", "--value-range=1:0"], "expected --value-range LOW:HIGH with LOW < HIGH"),
        (["images.npy", "--value-range", "low"], "expected LOW:HIGH, such as 0:16, got low"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments, said, capsys):
    try:
        status = main(["data", *arguments])
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    assert re.search(said, words(capsys.readouterr().err))


@pytest.mark.slow
def test_a_run_refuses_to_go_on_with_other_images(tmp_path, capsys):
    run = ["train", "--data", "images.npy", *SMALL, "--out", "run"]
    assert main([*run, "--epochs", "1"]) == 0
    assert "images.npy: 260 images, 5 x 5, gray, float64 in [0, 1] -> bytes" in (
        capsys.readouterr().err
    )
    settings = json.loads((tmp_path / "run/run.json").read_text())
    assert settings["data"] == str(tmp_path / "images.npy")
    np.save("images.npy", IMAGES[:250])
    _loaded.cache_clear()
    assert main([*run, "--epochs", "2"]) == 2
    assert (
        "it has changed since (234 + 26 images for training and held out then, 225 + 25 now)"
        in (capsys.readouterr().err)
    )
    np.save("images.npy", IMAGES)
    _loaded.cache_clear()
    assert main([*run, "--epochs", "2"]) == 0


@pytest.mark.slow
def test_images_that_changed_after_training_are_said_where_they_are_shown(tmp_path, capsys):
    assert main(["train", "--data", "images.npy", *SMALL, "--epochs", "1", "--out", "run"]) == 0
    report = ["report", "run", "--examples", "20"]
    assert main(report) == 0
    assert "has changed" not in capsys.readouterr().err
    assert "has changed" not in (tmp_path / "run/report.html").read_text()
    np.save("images.npy", IMAGES[::-1])
    _loaded.cache_clear()
    said = f"{tmp_path / 'images.npy'} has changed since this run was trained"
    assert main(report) == 0
    assert f"warning: {said}" in capsys.readouterr().err
    assert (
        "images.npy (which has changed since this run" in (tmp_path / "run/report.html").read_text()
    )


def test_results_are_not_written_among_the_images(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "photos"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for number in range(30):
        Image.fromarray((255 * IMAGES[number]).astype(np.uint8)).save(f"{number}.png")
    inside = ["--data", ".", *SMALL, "--epochs", "1", "--out", "runs/a"]
    advise = ["advise", "--data", "."]
    for given in (["data", "."], ["train", *inside], ["sweep", *inside, "--points", "0"], advise):
        assert main(given) == 2
        assert "expected a folder for results outside of" in capsys.readouterr().err
    config, out, launch = _parse("bottleneck", "", PRESETS, ["smoke", "--data", "."])
    with pytest.raises(ValueError, match="choose another --out"):
        run(
            Job("experiments.bottleneck.sweep:EXPERIMENT", config, out, None, ""), launch, Console()
        )
    assert len([*folder.rglob("*")]) == 30


@pytest.mark.slow
def test_a_sweep_of_one_combination_has_no_figures_and_refuses_other_images(tmp_path, capsys):
    sweep = ["sweep", "--data", "images.npy", *SMALL, "--epochs", "1", "--points", "0"]
    assert main([*sweep, "--out", "all"]) == 0
    assert "records: " in capsys.readouterr().out
    assert not list(tmp_path.glob("all/**/*.png"))
    assert main(["train", *sweep[1:-2], "--out", "all"]) == 2
    assert "which holds the results of a sweep" in capsys.readouterr().err
    np.save("images.npy", IMAGES[::-1])
    _loaded.cache_clear()
    assert main([*sweep, "--out", "all", "--seeds", "0,1"]) == 2
    assert "it has changed since" in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_over_sizes_of_the_images_is_extended_and_its_runs_are_shown(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for number in range(30):
        Image.fromarray((255 * IMAGES[number]).astype(np.uint8)).save(f"photos/{number}.png")
    sweep = ["sweep", "--data", "photos", *SMALL, "--image-size", "6,8", "--epochs", "1"]
    sweep += ["--points", "0", "--out", "all"]
    assert main(sweep) == 0
    assert main([*sweep, "--seeds", "0,1"]) == 0
    assert "2 of 4 runs to do" in words(capsys.readouterr().out)
    for size in (6, 8):
        run = f"all/image-size-{size}_latents-2_seed-1"
        assert main(["capture", run, "--out", f"layers-{size}"]) == 0
        assert "has changed" not in capsys.readouterr().err


def test_presets_of_experiments_are_cut_down_to_the_images_there_are(capsys):
    config = _parse("bottleneck", "", PRESETS, ["demo", "--data", "images.npy"])[0]
    assert (config.train_size, config.test_size, config.points) == (234, 26, 26)
    assert "--train-size 234, --test-size 26, --points 26 instead" in capsys.readouterr().err
    config = _parse("bottleneck", "", PRESETS, ["--data", "images.npy", "--points", "99"])[0]
    assert config.points == 99
