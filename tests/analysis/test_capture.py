"""Captured layers are those of the model, whatever the batches and wherever they are put."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.analysis.capture import capture, capture_to, posterior_noise
from jaxvae.data.taps import open_taps
from jaxvae.geometry import nearest_neighbors
from jaxvae.models import build_hvae, convolutional_vae
from tests.models.hierarchies import Chain
from tests.tiers import parametrize

VAE = convolutional_vae(image_shape=(4, 4, 1), latents=2, widths=(3,))
IMAGES = np.random.default_rng(0).integers(0, 256, (23, 4, 4, 1), dtype=np.uint8)
KEY = jax.random.key(5)


@pytest.fixture(scope="module")
def variables():
    return jax.jit(VAE.init)(jax.random.key(0))


@pytest.fixture(scope="module")
def captured(variables):
    return capture(VAE, variables, IMAGES, key=KEY)


def test_taps_are_those_of_a_direct_application(variables, captured):
    noise = posterior_noise(KEY, n=len(IMAGES), latents=VAE.latents)
    direct = jax.jit(VAE.apply)(variables, IMAGES / np.float32(255), noise).taps
    for name, tap in direct.items():
        # Division by 255 inside or outside of the compiled function: one rounding.
        np.testing.assert_allclose(captured[name], tap, rtol=1e-5, atol=1e-6, err_msg=name)


def test_the_noise_of_fewer_examples_and_latents_is_among_that_of_more():
    """So a model is measured alike alone and padded, on some images and among all."""
    noise = posterior_noise(KEY, n=40, latents=7)
    np.testing.assert_array_equal(posterior_noise(KEY, n=40, latents=3), noise[:, :3])
    np.testing.assert_array_equal(posterior_noise(KEY, n=12, latents=7), noise[:12])
    correlations = np.corrcoef(np.asarray(posterior_noise(KEY, n=4000, latents=5)).T)
    np.testing.assert_allclose(correlations, np.eye(5), atol=4 / 4000**0.5)


def test_taps_are_in_depth_order(captured):
    assert list(captured) == [
        "input", "encoder/1", "mean", "log_variance", "sample", "decoder/1", "output",
    ]  # fmt: skip


def test_taps_are_float32_arrays_on_the_host_with_a_row_for_every_image(captured):
    for tap in captured.values():
        assert isinstance(tap, np.ndarray)
        assert (tap.dtype, len(tap)) == (np.float32, len(IMAGES))


@parametrize("batch_size", [10, 22, 23])
def test_taps_do_not_depend_on_the_batch_size(variables, captured, batch_size):
    other = capture(VAE, variables, IMAGES, key=KEY, batch_size=batch_size)
    for name, tap in captured.items():
        # A product over other numbers of rows may add its terms in another order.
        np.testing.assert_allclose(other[name], tap, rtol=1e-5, atol=1e-6, err_msg=name)


def test_the_noise_of_an_image_does_not_depend_on_the_batch_size(variables, captured):
    def noise(taps):
        return (taps["sample"] - taps["mean"]) / np.exp(taps["log_variance"] / 2)

    other = capture(VAE, variables, IMAGES, key=KEY, batch_size=10)
    np.testing.assert_allclose(noise(other), noise(captured), atol=1e-4)


def test_the_sample_is_a_function_of_the_key(variables, captured):
    same = capture(VAE, variables, IMAGES, key=KEY)
    other = capture(VAE, variables, IMAGES, key=jax.random.key(6))
    np.testing.assert_array_equal(same["sample"], captured["sample"])
    assert not np.allclose(other["sample"], captured["sample"])


def test_images_on_the_device_give_the_same_taps(variables, captured):
    on_device = capture(VAE, variables, jnp.asarray(IMAGES), key=KEY)
    for name, tap in captured.items():
        np.testing.assert_array_equal(on_device[name], tap)


@pytest.mark.parametrize("chosen", [["mean"], ["output", "encoder/1"], ("sample", "sample")])
def test_chosen_layers_are_those_of_all_in_depth_order(variables, captured, chosen):
    some = capture(VAE, variables, IMAGES, key=KEY, layers=chosen)
    assert list(some) == [name for name in captured if name in chosen]
    for name, tap in some.items():
        np.testing.assert_array_equal(tap, captured[name])


# --- to disk --------------------------------------------------------------------------

KINDS = pytest.mark.parametrize("name", ["taps", "taps.zarr"])


@KINDS
@pytest.mark.parametrize("batch_size", [10, 23, 1000])
def test_what_is_written_is_what_is_captured_bit_for_bit(variables, tmp_path, name, batch_size):
    expected = capture(VAE, variables, IMAGES, key=KEY, batch_size=batch_size)
    path = tmp_path / "run" / name
    written = capture_to(path, VAE, variables, IMAGES, key=KEY, batch_size=batch_size)
    for taps in (written, open_taps(path)):
        assert list(taps) == list(expected)
        for layer, tap in expected.items():
            assert taps[layer].dtype == tap.dtype
            np.testing.assert_array_equal(taps[layer][:], tap)


@pytest.mark.slow
@KINDS
def test_metrics_read_what_is_written_in_tiles(variables, captured, tmp_path, name, monkeypatch):
    taps = capture_to(tmp_path / name, VAE, variables, IMAGES, key=KEY)
    expected = nearest_neighbors(captured["input"], k=2)
    monkeypatch.setenv("JAXVAE_DEVICE_BYTES", "1")
    found = nearest_neighbors(taps["input"], k=2)
    jax.tree.map(lambda *both: np.testing.assert_allclose(*both, rtol=1e-6), found, expected)


@KINDS
def test_chosen_layers_alone_are_written(variables, captured, tmp_path, name):
    chosen = ["output", "mean"]
    taps = capture_to(tmp_path / name, VAE, variables, IMAGES, key=KEY, layers=chosen)
    assert list(taps) == ["mean", "output"]
    np.testing.assert_array_equal(taps["output"][:], captured["output"])


def test_the_report_counts_the_examples(variables, tmp_path):
    done = []
    capture_to(
        tmp_path / "taps", VAE, variables, IMAGES, key=KEY, batch_size=10, report=done.append
    )
    assert done == [10, 20, 23]


@KINDS
def test_an_interrupted_capture_leaves_nothing_behind(variables, tmp_path, name):
    def interrupt(done):
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        capture_to(
            tmp_path / "run" / name, VAE, variables, IMAGES, key=KEY, batch_size=10,
            report=interrupt,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_one_program_serves_shapes_and_batches(variables, tmp_path):
    traces = []

    def counted(*arguments):
        traces.append(arguments)
        return VAE.apply(*arguments)

    vae = VAE._replace(apply=counted)
    capture(vae, variables, IMAGES[:20], key=KEY, batch_size=10)
    capture_to(tmp_path / "taps", vae, variables, IMAGES[:20], key=KEY, batch_size=10)
    assert len(traces) == 1


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "got"), [(["mean", "men"], "men"), ("mean", "m, e, a, n"), ([], "none")]
)
def test_layers_that_the_model_does_not_have_are_refused(variables, tmp_path, layers, got):
    message = f"expected layers among input, encoder/1, mean, .*, output; got {got}$"
    with pytest.raises(ValueError, match=message):
        capture(VAE, variables, IMAGES, key=KEY, layers=layers)
    with pytest.raises(ValueError, match=message):
        capture_to(tmp_path / "taps", VAE, variables, IMAGES, key=KEY, layers=layers)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batches_without_images_are_refused(variables, batch_size):
    with pytest.raises(ValueError, match=f"a batch_size of at least 1, got {batch_size}"):
        capture(VAE, variables, IMAGES, key=KEY, batch_size=batch_size)


@pytest.mark.parametrize(
    "images",
    [
        IMAGES / np.float32(255),
        IMAGES.astype(np.int32),
        IMAGES[:, :3],
        IMAGES[..., 0],
        IMAGES[0],
        IMAGES[:0],
    ],
    ids=["float", "int32", "height", "no channel", "one image", "empty"],
)
def test_images_that_the_model_does_not_take_are_refused(variables, images):
    with pytest.raises(ValueError, match=r"expected uint8 images \[n, 4, 4, 1\], got"):
        capture(VAE, variables, images, key=KEY)


@pytest.mark.slow
def test_the_layers_of_a_hierarchy_are_captured_as_those_of_a_vae():
    hvae = build_hvae(Chain((2, 3), (4, 4, 1)), image_shape=(4, 4, 1), shapes=[(2,), (3,)])
    variables = hvae.init(jax.random.key(0))
    taps = capture(hvae, variables, IMAGES, key=KEY, batch_size=10)
    noise = posterior_noise(KEY, n=len(IMAGES), latents=hvae.latents)
    direct = hvae.apply(variables, IMAGES / np.float32(255), noise).taps
    assert list(taps) == list(direct)
    for name, tap in direct.items():
        np.testing.assert_allclose(taps[name], tap, rtol=1e-5, atol=1e-6, err_msg=name)
