"""A trained model, used: against NumPy written by hand, in batches, and refused."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxvae
from jaxvae.runs import checkpoint
from jaxvae.runs.building import build_model
from jaxvae.runs.config import RunConfig, write_config
from jaxvae.runs.export import export_run

SHAPE = (28, 28, 1)
KINDS = {
    "vae": RunConfig(network="dense_vae", options={"widths": [16]}, latents=3, epochs=2),
    "hierarchy": RunConfig(
        network="two_layer_hvae",
        options={"channels": 4, "top": 3},
        objective="hierarchical_vae",
        epochs=2,
    ),
}


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("vae"), "vae")


@pytest.fixture(scope="module")
def hierarchy(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("hierarchy"), "hierarchy")


def saved(folder, kind):
    """A run that was saved at two epochs of four steps, without any training."""
    write_config(folder / "run.json", KINDS[kind], image_shape=SHAPE, per_epoch=4)
    init = jax.jit(build_model(KINDS[kind], SHAPE).init)
    for step in (4, 8):
        checkpoint.save(folder / "snapshots", step, init(jax.random.key(step)))
    return folder


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (11, *SHAPE), dtype=np.uint8)


def test_the_latents_of_an_exported_file_are_those_of_the_model(vae, images, tmp_path):
    model = jaxvae.load_run(str(vae))
    export_run(model.run, "npz", tmp_path / "run.npz")
    with np.load(tmp_path / "run.npz") as file:
        w = {name: file[name].astype(np.float64) for name in file if name != "__config__"}
    pixels = images.reshape(11, -1) / 255
    hidden = np.maximum(pixels @ w["encoder.Dense_0.kernel"] + w["encoder.Dense_0.bias"], 0)
    found = model.encode(images)
    for name, got in found._asdict().items():
        wanted = hidden @ w[f"{name}.kernel"] + w[f"{name}.bias"]
        np.testing.assert_allclose(got, wanted, atol=1e-5)
    logits = np.maximum(found.mean @ w["decoder.Dense_0.kernel"] + w["decoder.Dense_0.bias"], 0)
    logits = logits @ w["decoder.Dense_1.kernel"] + w["decoder.Dense_1.bias"]
    wanted = (1 / (1 + np.exp(-logits))).reshape(images.shape)
    np.testing.assert_allclose(model.decode(found.mean), wanted, atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(images), wanted, atol=1e-5)


def test_the_network_that_the_documentation_builds_in_pytorch_gives_the_same_numbers(
    images, tmp_path, monkeypatch
):
    pytest.importorskip("torch")
    config = RunConfig(network="dense_vae", options={"widths": [16, 8]}, latents=3)
    write_config(tmp_path / "runs/first/run.json", config, image_shape=SHAPE, per_epoch=4)
    variables = build_model(config, SHAPE).init(jax.random.key(0))
    checkpoint.save(tmp_path / "runs/first/snapshots", 1, variables)
    model = jaxvae.load_run(tmp_path / "runs/first")
    export_run(model.run, "safetensors", tmp_path / "runs/first.safetensors")
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs/using_a_model.md").read_text(encoding="utf-8")
    code, found = page[page.index("import torch") :].partition("```")[0], {"images": images}
    exec(code, found)
    latents, reconstructions = (
        found[name].detach().numpy() for name in ("latents", "reconstructions")
    )
    np.testing.assert_allclose(latents, model.encode(images).mean, atol=1e-5)
    np.testing.assert_allclose(reconstructions, model.reconstruct(images), atol=1e-5)


def test_safetensors_hold_the_same_arrays_and_the_settings(vae, tmp_path):
    safetensors = pytest.importorskip("safetensors")
    run = jaxvae.load_run(vae).run
    export_run(run, "npz", tmp_path / "run.npz")
    names = export_run(run, "safetensors", tmp_path / "run.safetensors")
    with (
        safetensors.safe_open(tmp_path / "run.safetensors", "np") as file,
        np.load(tmp_path / "run.npz") as other,
    ):
        assert sorted(file.keys()) == sorted(names)
        assert file.metadata()["config"] == str(other["__config__"])
        for name in names:
            np.testing.assert_array_equal(file.get_tensor(name), other[name])


@pytest.mark.parametrize("kind", ["vae", pytest.param("hierarchy", marks=pytest.mark.slow)])
def test_what_is_decoded_of_the_means_is_the_reconstruction_in_batches_of_any_size(
    request, images, kind
):
    model = jaxvae.load_run(request.getfixturevalue(kind))
    whole, parts = model.encode(images), model.encode(images, batch_size=4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), whole, parts)
    reconstructed = model.reconstruct(images)
    np.testing.assert_allclose(model.decode(whole.mean, batch_size=4), reconstructed, atol=1e-5)
    assert model.sample(5, key=jax.random.key(0)).shape == (5, *SHAPE)


def test_another_number_of_rows_of_the_same_class_compiles_nothing(vae, images, compilations):
    model, key = jaxvae.load_run(vae), jax.random.key(0)

    def use(n):
        means = model.encode(images[:n]).mean
        model.decode(means)
        model.reconstruct(images[:n])
        return model.sample(n, key=key)

    jax.clear_caches()
    drawn = use(11)
    compilations.clear()
    for n in (9, 10):
        np.testing.assert_array_equal(use(n), drawn[:n])
    assert not compilations
    for n in (20, 30):
        np.testing.assert_array_equal(model.sample(n, key=key, batch_size=16)[:11], drawn)
    # The noise of 32.
    assert len(compilations) == 1


def test_gray_images_without_channels_and_floats_in_the_unit_interval_are_the_same_images(
    vae, images
):
    model = jaxvae.load_run(vae)
    wanted = model.encode(images).mean
    np.testing.assert_array_equal(model.encode(images[..., 0]).mean, wanted)
    np.testing.assert_allclose(model.encode(images / 255).mean, wanted, atol=1e-5)
    with pytest.raises(ValueError, match=r"floats in \[0, 1\], got floats from"):
        model.encode(np.float32(images))
    with pytest.raises(ValueError, match="got NaN"):
        model.encode(np.full((1, *SHAPE), np.nan))


def test_a_model_is_shown_in_one_line(vae):
    run = f"SavedRun(dense_vae, 3 latents, sprites, step 8, epoch 2, {vae})"
    assert repr(jaxvae.load_run(vae)) == f"TrainedModel(run={run})"


def test_a_snapshot_goes_by_its_epoch(vae):
    first = jaxvae.load_run(vae, epoch=1)
    assert first.run.step == 4
    assert first.run.when == "step 4, epoch 1"
    with pytest.raises(ValueError, match=r"\(epochs 1, 2\), got epoch 3; "):
        jaxvae.load_run(vae, epoch=3)


def test_a_snapshot_of_a_run_that_was_interrupted_goes_by_its_epoch(vae, tmp_path):
    """Of three epochs the last has no snapshot yet; the step of an epoch is that of its run."""
    folder = shutil.copytree(vae, tmp_path / "run")
    settings = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(settings | {"epochs": 3}))
    assert [jaxvae.load_run(folder, epoch=each).run.step for each in (1, 2)] == [4, 8]
    with pytest.raises(ValueError, match=r"epochs 1, 2\), got epoch 3"):
        jaxvae.load_run(folder, epoch=3)
    # With twice as many, step 8 must not be taken for the end.
    (folder / "run.json").write_text(json.dumps(settings | {"epochs": 4}))
    assert jaxvae.load_run(folder, epoch=2).run.step == 8


def test_an_epoch_of_a_run_that_does_not_say_how_many_steps_it_has_is_refused(vae, tmp_path):
    folder = shutil.copytree(vae, tmp_path / "run")
    settings = json.loads((folder / "run.json").read_text())
    del settings["steps_per_epoch"]
    (folder / "run.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="choose the snapshot by its step, 4, 8"):
        jaxvae.load_run(folder, epoch=1)
    assert jaxvae.load_run(folder, step=4).run.step == 4


def test_latents_of_another_shape_and_a_run_without_a_snapshot_are_refused(vae, images, tmp_path):
    with pytest.raises(ValueError, match=r"expected latents \[n, 3\], got \(2, 4\)"):
        jaxvae.load_run(vae).decode(np.zeros((2, 4)))
    encoding = jaxvae.load_run(vae).encode(images)
    with pytest.raises(ValueError, match="such as the mean of an encoding, got all"):
        jaxvae.load_run(vae).decode(encoding)
    write_config(tmp_path / "run.json", KINDS["vae"], image_shape=SHAPE, per_epoch=4)
    with pytest.raises(ValueError, match="training has not saved one yet"):
        jaxvae.load_run(tmp_path)
