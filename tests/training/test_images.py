"""Images that training would misread are refused, before anything is compiled."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvae.models import dense_vae, two_layer_hvae
from jaxvae.objectives import beta_vae, distortion_target
from jaxvae.runs.run import train_run
from jaxvae.training import (
    Member,
    Trainer,
    init_ensemble,
    train,
    train_ensemble,
    vae_trainer,
)
from jaxvae.training.images import as_images, checked_images, on_device
from tests.tiers import parametrize

SHAPE = (4, 6, 3)
BYTES = np.random.default_rng(0).integers(0, 256, (8, *SHAPE), dtype=np.uint8)
PIXELS = BYTES / np.float32(255)
LACKING = np.where(BYTES.max() == BYTES, np.nan, PIXELS)
BITS = (BYTES > 127).astype(np.uint8)

MISREAD = [
    (PIXELS, r"got float32 \(8, 4, 6, 3\); np\.rint\(255 \* images\)\.astype\(np\.uint8\)"),
    (255 * PIXELS, r"got float32 .*bring them to numbers from 0 to 255"),
    (PIXELS.astype(np.float16), "got float16"),
    (jnp.asarray(PIXELS, jnp.bfloat16), "got bfloat16"),
    (LACKING, r"got float32 .*; they hold NaN or infinity"),
    (BYTES.astype(np.int64), r"got int64 .*images\.astype\(np\.uint8\)"),
    (BYTES.astype(np.int8), "got int8 .*bring them to numbers from 0 to 255"),
    (BYTES.astype(np.int16) - 128, "got int16 .*bring them to numbers from 0 to 255"),
    (BITS.astype(bool), r"got bool .*255 \* images\.astype"),
    (BYTES.astype(object), "got object"),
    (np.moveaxis(BYTES, -1, 1), r"got uint8 \(8, 3, 4, 6\); np\.moveaxis\(images, 1, -1\)"),
    (BYTES[..., 0], r"got uint8 \(8, 4, 6\); images\[\.\.\., None\]"),
    (BYTES[..., :1], r"got uint8 \(8, 4, 6, 1\); np\.repeat\(images, 3, axis=-1\)"),
    (BYTES[0], r"got uint8 \(4, 6, 3\)"),
    (BYTES[:0], r"got uint8 \(0, 4, 6, 3\)"),
    (BYTES.tolist(), "got object"),
]


@pytest.mark.parametrize(("images", "message"), MISREAD)
def test_other_images_are_refused_with_what_to_do(images, message):
    with pytest.raises(ValueError, match=rf"expected uint8 images \[n, 4, 6, 3\], {message}"):
        as_images(images, SHAPE)


def test_masked_images_are_refused():
    with pytest.raises(ValueError, match="masked array"):
        as_images(np.ma.masked_equal(BYTES, 0), SHAPE)


def test_bytes_of_zero_and_one_are_refused_in_training():
    with pytest.raises(ValueError, match="got only 0 and 1; multiply by 255"):
        checked_images(BITS, SHAPE)
    with pytest.raises(ValueError, match="got only 0 and 1; multiply by 255"):
        checked_images(np.ones_like(BITS), SHAPE)
    for taken in (255 * BITS, np.zeros_like(BITS), BYTES):
        np.testing.assert_array_equal(checked_images(taken, SHAPE), taken)


class Tensor:
    def __array__(self, dtype=None, copy=None):
        return BYTES


def test_what_has_the_bytes_is_taken():
    for images in (BYTES, jnp.asarray(BYTES), Tensor(), np.asfortranarray(BYTES)):
        np.testing.assert_array_equal(checked_images(images, SHAPE), BYTES)


def test_every_training_refuses_them_before_it_compiles(tmp_path):
    def never(*given):
        raise AssertionError("compiled")

    trainer, settings = Trainer(never, never, SHAPE), {"epochs": 1, "batch_size": 4}
    for training in (
        partial(train, trainer, None),
        partial(train_ensemble, trainer, None),
        partial(train_run, trainer, None, folder=tmp_path / "run"),
    ):
        for images in (PIXELS, np.moveaxis(BYTES, -1, 1)):
            with pytest.raises(ValueError, match=r"expected uint8 images \[n, 4, 6, 3\], got"):
                training(images, **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_trainer_knows_the_images_of_its_model():
    vae = dense_vae(image_shape=SHAPE, latents=2)
    assert vae_trainer(vae, beta_vae, optax.adam(1e-3)).image_shape == SHAPE


@parametrize("beta", [[1.0, -1.0], -1.0, np.float32(-0.5)])
def test_a_negative_weight_is_refused(beta):
    trainer = partial(vae_trainer, dense_vae(image_shape=SHAPE, latents=2))
    with pytest.raises(ValueError, match="expected beta of at least 0, got"):
        trainer(beta_vae, optax.adam(1e-3), coefficients={"beta": beta})
    with pytest.raises(ValueError, match="expected beta of at least 0, got"):
        trainer(partial(beta_vae, beta=beta), optax.adam(1e-3))
    member = Member(jax.random.key(0), latents=2, coefficients={"beta": beta})
    plain = trainer(beta_vae, optax.adam(1e-3), coefficients={"beta": 1.0})
    with pytest.raises(ValueError, match="expected beta of at least 0, got"):
        init_ensemble(lambda latents: plain, [member])


@parametrize("beta", [np.nan, np.inf, [1.0, np.nan], np.float32("nan")])
def test_a_weight_that_is_not_finite_is_refused(beta):
    trainer = partial(vae_trainer, dense_vae(image_shape=SHAPE, latents=2), beta_vae)
    with pytest.raises(ValueError, match="expected a finite beta, got"):
        trainer(optax.adam(1e-3), coefficients={"beta": beta})


def test_a_negative_number_of_an_objective_of_your_own_is_left_to_it():
    def shifted(outputs, *, shift):
        return beta_vae(outputs)[0] + shift, beta_vae(outputs)[1]

    vae = dense_vae(image_shape=SHAPE, latents=2)
    assert vae_trainer(vae, partial(shifted, shift=-1.0), optax.adam(1e-3)).image_shape == SHAPE
    own = vae_trainer(vae, shifted, optax.adam(1e-3), coefficients={"shift": -1.0})
    assert vae_trainer(vae, partial(shifted, shift=np.inf), optax.adam(1e-3)).image_shape == SHAPE
    member = Member(jax.random.key(0), latents=2, coefficients={"shift": -2.0})
    shift = init_ensemble(lambda latents: own, [member]).states.coefficients["shift"]
    assert shift.tolist() == [-2.0]


def test_a_distortion_below_zero_is_a_target():
    trainer = partial(
        vae_trainer, two_layer_hvae(image_shape=(28, 28, 1)), distortion_target, optax.adam(1e-3)
    )
    assert trainer(coefficients={"target": -50.0}).image_shape == (28, 28, 1)
    with pytest.raises(ValueError, match="expected weight of at least 0, got -1"):
        trainer(coefficients={"target": -50.0, "weight": -1.0})


def test_a_coefficient_may_be_traced():
    vae = dense_vae(image_shape=SHAPE, latents=2)

    def coefficients(beta):
        trainer = vae_trainer(vae, beta_vae, optax.adam(1e-3), coefficients={"beta": beta})
        return trainer.init(jax.random.key(0)).coefficients

    assert jax.eval_shape(coefficients, 2.0)["beta"].shape == ()


def test_images_are_copied_to_the_device_without_a_program(compilations):
    images = np.zeros((3, 5, 7, 1), np.uint8)
    placed = on_device(images)
    assert not compilations
    images[:] = 7
    assert not placed.any()
