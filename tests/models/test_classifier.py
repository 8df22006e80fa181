"""The shapes of classifiers, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.models import convolutional_classifier


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (4, 8, 2)])
def test_every_image_gets_a_logit_for_every_class(shape):
    classifier = convolutional_classifier(image_shape=shape, classes=7, channels=3, width=5)
    params = jax.eval_shape(classifier.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((6, *shape), jnp.float32)
    assert jax.eval_shape(classifier.apply, params, images).shape == (6, 7)


def test_images_do_not_depend_on_each_other():
    classifier = convolutional_classifier(image_shape=(4, 8, 2), classes=3, channels=3, width=5)
    params = jax.jit(classifier.init)(jax.random.key(0))
    images = np.random.default_rng(1).uniform(size=(4, 4, 8, 2)).astype("f4")
    apply = jax.jit(classifier.apply)
    together = apply(params, images)
    alone = [apply(params, image[None])[0] for image in images]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


def test_sides_that_cannot_be_halved_twice_are_refused():
    with pytest.raises(ValueError, match="multiples of 4, got 28 x 30"):
        convolutional_classifier(image_shape=(28, 30, 1), classes=10)


def test_a_single_class_is_refused():
    with pytest.raises(ValueError, match="at least two classes, got 1"):
        convolutional_classifier(image_shape=(28, 28, 1), classes=1)
