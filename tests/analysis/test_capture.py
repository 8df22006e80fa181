"""Captured layers are those of the model, whatever the batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.analysis import capture
from jaxvae.models import convolutional_vae

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
    noise = jax.random.normal(KEY, (len(IMAGES), VAE.latents))
    direct = jax.jit(VAE.apply)(variables, IMAGES / np.float32(255), noise).taps
    for name, tap in direct.items():
        # Division by 255 inside or outside of the compiled function: one rounding.
        np.testing.assert_allclose(captured[name], tap, rtol=1e-5, atol=1e-6, err_msg=name)


def test_taps_are_in_depth_order(captured):
    assert list(captured) == [
        "input", "encoder/1", "mean", "log_variance", "sample", "decoder/1", "output",
    ]  # fmt: skip


def test_taps_are_float32_arrays_on_the_host_with_a_row_for_every_image(captured):
    for tap in captured.values():
        assert isinstance(tap, np.ndarray)
        assert (tap.dtype, len(tap)) == (np.float32, len(IMAGES))


@pytest.mark.parametrize("batch_size", [10, 22, 23])
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
