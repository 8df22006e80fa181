"""Images that share their upper layers with given ones."""

import jax
import numpy as np
import pytest

from jaxvae.analysis import capture, regenerate
from jaxvae.analysis.capture import posterior_noise
from jaxvae.models import dense_vae
from tests.models.hierarchies import chain

HVAE = chain(3)
IMAGES = np.random.default_rng(1).integers(0, 256, (4, *HVAE.image_shape), np.uint8)


@pytest.fixture(scope="module")
def variables():
    return jax.jit(HVAE.init)(jax.random.key(0))


@pytest.fixture(scope="module")
def key():
    return jax.random.key(2)


def test_the_first_row_are_ancestral_samples_and_the_last_reconstructions(variables, key):
    found = regenerate(HVAE, variables, IMAGES, key=key)
    assert found.kept == (0, 1, 2, 3)
    noise = posterior_noise(key, n=4, latents=HVAE.latents)
    decoded = jax.jit(HVAE.decode)(variables, noise)
    np.testing.assert_allclose(found.images[0], decoded, rtol=1e-5)
    output = capture(HVAE, variables, IMAGES, key=key, layers=["output"])["output"]
    np.testing.assert_allclose(found.images[-1], output, rtol=1e-5)


def test_with_one_layer_kept_the_image_matters_through_it_alone(variables, key):
    others = IMAGES[::-1].copy()
    rows = [regenerate(HVAE, variables, each, key=key).images for each in (IMAGES, others)]
    np.testing.assert_array_equal(rows[0][0], rows[1][0])
    assert np.any(rows[0][1] != rows[1][1])


def test_rows_are_evenly_spaced_where_there_are_more_layers(key):
    found = regenerate(chain(5), jax.jit(chain(5).init)(key), IMAGES, key=key, rows=3)
    assert found.kept == (0, 2, 5)
    assert found.layers == 5


@pytest.mark.parametrize(
    ("images", "rows", "message"),
    [
        (IMAGES, 1, "at least 2 rows, got 1"),
        (IMAGES[:, :1], 4, "uint8 images"),
        ((IMAGES > 99).astype(np.uint8), 4, "got only 0 and 1"),
    ],
)
def test_what_cannot_be_regenerated_is_refused(variables, key, images, rows, message):
    with pytest.raises(ValueError, match=message):
        regenerate(HVAE, variables, images, key=key, rows=rows)


def test_a_model_of_one_layer_is_refused(key):
    vae = dense_vae(image_shape=(4, 4, 1), latents=2, widths=(4,))
    with pytest.raises(ValueError, match=r"expected a hierarchical VAE.* of type HVAE, got VAE"):
        regenerate(vae, None, np.zeros((3, 4, 4, 1), np.uint8), key=key)
