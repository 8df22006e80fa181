"""What takes a key says so where it gets something else."""

import jax
import numpy as np
import optax
import pytest

from jaxvae.analysis import capture, evaluate, measure, regenerate, shuffle_effect
from jaxvae.analysis.generation import ancestral_samples
from jaxvae.metrics import two_nn
from jaxvae.metrics.nulls import gaussian_null
from jaxvae.metrics.resample import subsample_error
from jaxvae.models import Variables, dense_vae, one_layer_hvae
from jaxvae.objectives import beta_vae
from jaxvae.training import vae_trainer

VAE = dense_vae(image_shape=(4, 4, 1), latents=3, widths=(5,))
HVAE = one_layer_hvae(image_shape=(28, 28, 1), channels=4)
IMAGES = np.zeros((12, 4, 4, 1), np.uint8)
LARGE = np.zeros((12, 28, 28, 1), np.uint8)
POINTS = np.random.default_rng(0).normal(size=(40, 3))
UNUSED = Variables({}, {})
TRAINER = vae_trainer(VAE, beta_vae, optax.adam(1e-3))


@pytest.mark.parametrize(
    "take",
    [
        VAE.init,
        HVAE.init,
        TRAINER.init,
        lambda key: evaluate(VAE, UNUSED, IMAGES, key=key),
        lambda key: capture(VAE, UNUSED, IMAGES, key=key),
        lambda key: regenerate(HVAE, UNUSED, LARGE, key=key),
        lambda key: shuffle_effect(HVAE, UNUSED, LARGE, key=key),
        lambda key: ancestral_samples(VAE, UNUSED, key=key, n=2),
        lambda key: measure({"points": POINTS}, key=key, metrics=["id"]),
        lambda key: gaussian_null(key, two_nn, POINTS, draws=2),
        lambda key: subsample_error(key, two_nn, POINTS),
    ],
)
@pytest.mark.parametrize(
    ("given", "got"),
    [
        (0, "got 0"),
        (None, "got None"),
        (jax.random.split(jax.random.key(0)), r"of shape \(2,\)"),
        (np.zeros(3), r"an array of float64 of shape \(3,\)"),
    ],
)
def test_what_is_no_key_is_refused(take, given, got):
    with pytest.raises(
        ValueError, match=rf"expected one key, such as jax.random.key\(0\), .*{got}"
    ):
        take(given)


def test_keys_of_the_old_type_and_traced_ones_are_taken():
    old, new = jax.random.PRNGKey(3), jax.random.key(3)
    for one, other in zip(
        jax.tree.leaves(VAE.init(old)), jax.tree.leaves(VAE.init(new)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert jax.eval_shape(jax.vmap(TRAINER.init), jax.random.split(new)).step.shape == (2,)


def test_an_optimizer_in_the_place_of_the_objective_is_refused():
    with pytest.raises(ValueError, match="expected an objective, such as beta_vae, before the opt"):
        vae_trainer(VAE, optax.adam(1e-3), beta_vae)
