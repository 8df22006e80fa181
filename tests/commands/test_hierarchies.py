"""The commands on a hierarchy: its rates, its targets, its figures, and what is refused."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import jax
import numpy as np
import pytest

from jaxvae.analysis import evaluate
from jaxvae.cli import main
from jaxvae.data import load
from jaxvae.runs.saved import open_run

pytestmark = pytest.mark.usefixtures("own_images")

DATA = ["--data", "images.npy", "--image-size", "28", "--train-size", "200"]
SMALL = [*DATA, "--network", "two_layer_hvae", "--option", "channels=4", "top=3"]
# With such a beta the lower layer is not worth its rate.
BETAS = ["--coefficient", "beta=0.5,500", "--learning-rate", "0.01", "--epochs", "20"]


def run(out, *arguments):
    return main(["train", *SMALL, "--out", str(out), *arguments])


@pytest.fixture(scope="module")
def printed(own_images, tmp_path_factory):
    """The folder of a run, and what it printed to the standard output and error."""
    out, shown, said = tmp_path_factory.mktemp("train") / "run", io.StringIO(), io.StringIO()
    with redirect_stdout(shown), redirect_stderr(said):
        assert run(out, *BETAS) == 0
    return out, shown.getvalue(), said.getvalue()


@pytest.fixture(scope="module")
def finished(printed):
    return printed[0]


def held_out(folder):
    return json.loads((folder / "held_out.json").read_text())


@pytest.mark.slow
def test_the_result_is_that_of_the_library(finished, own_images):
    saved, found = open_run(finished), held_out(finished)
    images = load(str(own_images), image_size=28, train_size=200).test.images
    key = jax.random.split(jax.random.key(0))[1]
    expected = evaluate(saved.vae, saved.variables, images, key=key)
    assert found["step"] == saved.step == 60
    assert found["images"] == len(images)
    for name, estimate in (
        ("reconstruction", expected.distortion),
        ("rate of z_2", [each[0] for each in expected.rates]),
        ("rate of z_1", [each[1] for each in expected.rates]),
        ("psnr", expected.psnr),
    ):
        np.testing.assert_allclose(list(found[name].values()), list(estimate), rtol=1e-6)


@pytest.mark.slow
def test_without_a_name_the_objective_is_the_one_for_hierarchies(finished):
    config = open_run(finished).config
    assert config.objective == "hierarchical_vae"
    assert config.coefficients == {"beta": [0.5, 500.0]}
    assert config.latents is None


@pytest.mark.slow
def test_the_terminal_shows_the_rate_and_the_beta_of_every_layer(printed):
    _, shown, _ = printed
    assert "two_layer_hvae, 67 latents, " in shown
    assert "held out, 25 images: distortion " in shown
    for line, beta in (("  z_2: rate ", ", beta 0.5"), ("  z_1: rate ", ", beta 500")):
        assert any(each.startswith(line) and each.endswith(beta) for each in shown.splitlines())


@pytest.mark.slow
def test_a_layer_that_collapses_is_warned_of_with_what_to_try(printed):
    out, _, said = printed
    assert "z_1: the rate is below 0.01 nats per dimension" in said
    assert "lower its beta" in said
    first, *others = held_out(out)["warnings"]
    assert any("z_1: the rate is below" in each for each in others)
    # Of so few steps.
    assert "may still fill. Train for more --epochs" in first


@pytest.mark.slow
def test_a_layer_without_a_target_trains_from_the_command_line(tmp_path, capsys):
    arguments = ["--objective", "rate_targets", "--coefficient", "targets=50,none"]
    assert run(tmp_path, *arguments, "--epochs", "1") == 0
    (missed,) = [each for each in held_out(tmp_path)["warnings"] if "the target of" in each]
    assert missed.startswith("rate of z_2: ")
    assert missed in capsys.readouterr().err
    assert open_run(tmp_path).config.coefficients == {"targets": [50.0, None]}


@pytest.mark.slow
def test_the_deep_hierarchy_trains_for_a_distortion_from_the_command_line(tmp_path, capsys):
    arguments = ["train", *DATA, "--image-size", "8", "--network", "deep_hvae"]
    arguments += ["--option", "resolutions=1,8", "blocks=1", "channels=4", "latent_channels=1"]
    arguments += ["remat=true"]
    arguments += ["--objective", "distortion_target", "--coefficient", "target=5", "penalty=0.1"]
    arguments += ["--ramp", "beta=5", "--average", "0.9", "--clip", "100", "--epochs", "1"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    shown, said = capsys.readouterr()
    assert "gradients, " in shown
    assert "  z_2: rate " in shown
    assert np.isfinite(held_out(tmp_path)["reconstruction"]["value"])
    # Nothing is learned in so few steps.
    (missed,) = [each for each in held_out(tmp_path)["warnings"] if "the target of" in each]
    assert missed.startswith("distortion: ")
    assert missed in said


@pytest.mark.slow
def test_layers_are_captured_and_drawn(finished, tmp_path, capsys):
    taps = tmp_path / "taps"
    assert main(["capture", str(finished), "--out", str(taps), "--examples", "20"]) == 0
    assert "z_2/mean, z_2/log_variance, z_2/sample, z_1/mean" in capsys.readouterr().out
    assert main(["report", str(finished), "--examples", "20", "--out", str(tmp_path / "f")]) == 0
    assert (tmp_path / "f/report.html").is_file()
    figures = sorted(path.name for path in (tmp_path / "f/figures").iterdir())
    assert figures == ["layers.png", "reconstructions.png", "samples.png"]


@pytest.mark.slow
def test_a_hierarchy_has_no_image_to_traverse(finished, tmp_path, capsys):
    out = tmp_path / "f"
    assert main(["report", str(finished), "--example", "3", "--out", str(out)]) == 2
    assert "expected no --example for a hierarchy" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--latents", "5"], "expected no latents for two_layer_hvae, whose sizes are options"),
        (["--objective", "beta_vae"], "an objective among hierarchical_vae, "),
        (["--option", "ladder=perhaps"], "expected true or false, got perhaps"),
        (["--objective", "rate_targets"], "the coefficient targets of rate_targets, got none"),
        (
            ["--objective", "rate_targets", "--coefficient", "targets=1,2,3"],
            "expected one number, or 2 for its layers, as targets of two_layer_hvae",
        ),
        (["--coefficient", "beta=1,none"], "expected a number for every beta"),
        (
            ["--coefficient", "beta=1,2,3"],
            "expected one number, or 2 for its layers, as beta of two_layer_hvae",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_fit_a_hierarchy_is_refused(tmp_path, capsys, arguments, message):
    out = tmp_path / "out"
    assert run(out, *arguments) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_an_objective_of_hierarchies_is_refused_for_one_bottleneck(tmp_path, capsys):
    arguments = ["--network", "dense_vae", "--objective", "hierarchical_vae", "--image-size", "16"]
    assert main(["train", *arguments, "--train-size", "100", "--out", str(tmp_path / "o")]) == 2
    message = capsys.readouterr().err
    assert "expected for dense_vae, a network of one bottleneck, an objective among" in message
    assert "beta_tc_vae" in message
