"""What the README and the pages of the book tell users to type."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxvae.cli import _parser, main

ROOT = Path(__file__).parents[1]
RUN = r"rate-0.01_seed-0: near \d.*, far \d.* rate-0.01_seed-0: dimension \d.* near, \d.* far"
PRINTED = {
    "README.md": "encoder/1",
    "docs/training.md": "encoder/1",
    "docs/splitting_a_rate.md": "Estimate",
    "docs/data.md": "1,797 images, 16 x 16, gray, float64 in [0, 1] -> bytes; resized from 8 x 8",
    "docs/measuring_arrays.md": "2000 of 2000",
    "docs/devices.md": "20 steps of 2000 images",
    "docs/using_a_model.md": "step 31, epoch 1: latents (100, 10); the last snapshot is step 62",
}


def examples(page):
    return [code for kind, code in _blocks(page) if kind == "python"]


def _blocks(page):
    return re.findall(r"```(python|sh)\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def command(page, beginning):
    """The words of the first command of a page that begins so."""
    lines = (line.strip() for line in (ROOT / page).read_text().splitlines())
    return shlex.split(next(line for line in lines if line.startswith(beginning)), comments=True)


def run(page, names):
    for kind, example in _blocks(page):
        if kind == "python":
            exec(compile(example, page, "exec"), names)
        else:
            for line in example.splitlines():
                program, *words = shlex.split(line)
                assert (program, main(words)) == ("jaxvae", 0)
    return names


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("my_metric", "my_network", "my_objective"):
        sys.modules.pop(name, None)


def trainings():
    """The commands of pages and helps that train on MNIST or sprites, with networks of jaxvae."""
    helps = (ROOT / f"jaxvae/commands/arguments/{name}.py" for name in ("train", "sweep"))
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *helps]:
        lines = page.read_text().replace("\\\\\n", "")
        for words in re.findall(r"jaxvae ((?:train|sweep) --[^`|\n]*)", lines):
            others = r"my_\w+:|--from|--data (?!mnist|sprites)"
            if "--out" in words and not re.search(others, words):
                yield pytest.param(words, id=f"{page.stem}: {words}")


@pytest.mark.parametrize("words", [*trainings()])
def test_every_training_that_a_page_names_has_a_network_that_takes_its_images(words):
    from jaxvae.commands.settings import given_config  # noqa: PLC0415
    from jaxvae.commands.sweep import given_grid  # noqa: PLC0415
    from jaxvae.grids.grid import runs_of  # noqa: PLC0415
    from jaxvae.runs.building import build_model  # noqa: PLC0415

    arguments = _parser().parse_args(shlex.split(words, comments=True))
    if arguments.command == "train":
        configs = [given_config(arguments)]
    else:
        configs = runs_of(given_grid(arguments)).values()
    for config in configs:
        side = config.image_size or {"mnist": 28, "sprites": 64}[config.data]
        build_model(config, (side, side, 1))


@pytest.mark.slow
@pytest.mark.parametrize("page", PRINTED)
def test_the_examples_of_a_page_run_as_they_stand(page, capsys, folder):
    run(page, {"__name__": "page"})
    assert PRINTED[page] in capsys.readouterr().out


def test_four_points_come_out_as_computed_by_hand(capsys):
    run("docs/exactness.md", {"__name__": "page"})
    assert "[16777216" in capsys.readouterr().out.replace("1.6777216e+07", "16777216")


@pytest.mark.slow
def test_an_experiment_of_ones_own_is_the_file_that_its_page_shows(folder, capsys, monkeypatch):
    (folder / "rates.py").write_text(*examples("docs/own_experiment.md"))
    for more, said in (["--plan"], "1 of 1 units to do"), ([], RUN):
        words = ["--rates", "0.01", "--seeds", "0", "--epochs", "1"]
        monkeypatch.setattr(sys, "argv", ["rates.py", *words, *more])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path("rates.py", run_name="__main__")
        assert ended.value.code == 0
        assert re.search(said, " ".join(capsys.readouterr().out.split()))
    assert (folder / "results/rates/demo/runs/rate-0.01_seed-0.npz").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("page", ["docs/own_network.md", "docs/own_objective.md"])
def test_a_network_and_an_objective_of_ones_own_are_trained_by_the_command_of_the_page(
    page, folder
):
    name = page.removeprefix("docs/own_").removesuffix(".md")
    (folder / f"my_{name}.py").write_text(*examples(page))
    words = command(page, "jaxvae train")[1:]
    assert main([*words, "--train-size", "200", "--batch-size", "50", "--epochs", "1"]) == 0
    words = ["capture", f"runs/my_{name}", "--trust", "--examples", "20", "--out", "layers"]
    assert main(words) == 0
    assert np.load("layers/encoder/1.npy").shape[0] == 20


def test_an_objective_of_ones_own_charges_what_is_beyond_the_free_rate():
    from jaxvae.models import Outputs  # noqa: PLC0415

    free_rate = run("docs/own_objective.md", {"__name__": "page"})["free_rate"]
    mean, zeros = np.full((2, 4), 2.0, np.float32), np.zeros((2, 4), np.float32)
    outputs = Outputs(np.float32([3, 5]), mean, zeros, mean, None, {}, {})
    # The KL of four latents of mean 2 and variance 1 is 4 * 2 ** 2 / 2 = 8 nats.
    for free, beta, loss in ((0.0, 1.0, 12.0), (5.0, 2.0, 10.0), (9.0, 2.0, 4.0)):
        found, terms = free_rate(outputs, free=free, beta=beta)
        assert (float(found), float(terms.kl)) == pytest.approx((loss, 8.0))


@pytest.mark.slow
def test_a_metric_of_ones_own_is_measured_with_its_error_and_null(folder, capsys):
    from jaxvae.analysis import METRICS  # noqa: PLC0415

    before = dict(METRICS)
    try:
        page = run("docs/own_metric.md", {"__name__": "page"})
        np.savez(folder / "layers.npz", **page["spaces"])
        assert main(["measure", "layers.npz", "--metrics", "distance-correlation"]) == 0
        found = page["correlation"]
    finally:
        METRICS.clear()
        METRICS.update(before)
    np.testing.assert_allclose(found.value[:2, :2], 1.0, atol=1e-5)
    assert abs(found.value[0, 2] - found.null[0, 2]) < 5 * found.null_spread[0, 2]
    assert found.value[0, 2] < 0.3
    assert "Distance correlation" in capsys.readouterr().out


def test_a_data_set_of_ones_own_is_read_as_its_page_says(folder):
    from jaxvae.data import load  # noqa: PLC0415

    names = run("docs/own_data_set.md", {"__name__": "page"})
    data = load("./rings.npz")
    for split, images, labels in (
        (data.train, names["train_images"], names["train_labels"]),
        (data.test, names["test_images"], names["test_labels"]),
    ):
        read = {
            (image.tobytes(), label)
            for image, label in zip(split.images, split.labels, strict=True)
        }
        assert read == {
            (image.tobytes(), label) for image, label in zip(images, labels, strict=True)
        }


def test_the_page_of_tutorials_includes_every_script():
    scripts = [path.name for path in (ROOT / "examples/tutorials").glob("*.py")]
    included = re.findall(
        r'^--8<-- "examples/tutorials/(.*)"$',
        (ROOT / "docs/tutorials.md").read_text(),
        re.MULTILINE,
    )
    assert sorted(included) == sorted(scripts)


def test_the_readme_names_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert "pip install -e . && python -m experiments.bottleneck" in text
    assert "pip install -e '.[test]' && pytest" in text


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) <= 8000
