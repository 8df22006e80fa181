"""A classifier learns what separates its classes, and refuses what it cannot learn from."""

import jax
import numpy as np
import pytest

from jaxvae.models import convolutional_classifier
from jaxvae.training import train_classifier
from tests.training.bars import bars

CLASSIFIER = convolutional_classifier(image_shape=(4, 4, 1), classes=3, channels=4, width=8)
KEY = jax.random.key(0)


IMAGES, LABELS = bars(250)


@pytest.mark.slow
def test_bright_rows_are_told_apart():
    params = train_classifier(CLASSIFIER, IMAGES, LABELS, key=KEY, epochs=40, learning_rate=0.01)
    images, labels = bars(100, seed=1)
    predicted = CLASSIFIER.apply(params, images / np.float32(255)).argmax(axis=1)
    assert np.mean(predicted == labels) > 0.95


@pytest.mark.slow
def test_the_same_key_gives_the_same_parameters():
    one, two, other = (
        train_classifier(CLASSIFIER, IMAGES, LABELS, key=jax.random.key(seed), epochs=2)
        for seed in (1, 1, 2)
    )
    jax.tree.map(np.testing.assert_array_equal, one, two)
    assert not np.array_equal(one["Dense_0"]["kernel"], other["Dense_0"]["kernel"])


def test_another_call_traces_the_classifier_no_more():
    traced = []

    def apply(params, images):
        traced.append(images.shape)
        return CLASSIFIER.apply(params, images)

    watched = CLASSIFIER._replace(apply=apply)
    for seed in (1, 2):
        train_classifier(watched, IMAGES, LABELS, key=jax.random.key(seed), epochs=1)
    assert len(traced) == 1


def test_a_loss_that_is_not_finite_is_an_error():
    with pytest.raises(ArithmeticError, match="in epoch 0; try a smaller learning rate"):
        train_classifier(CLASSIFIER, IMAGES, LABELS, key=KEY, epochs=3, learning_rate=1e30)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": IMAGES / 255}, r"expected uint8 images \[n, 4, 4, 1\], got float64"),
        ({"images": IMAGES[:, :2]}, r"got uint8 \(250, 2, 4, 1\)"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, r"got uint8 \(0, 4, 4, 1\)"),
        ({"labels": LABELS[:3]}, "expected 250 whole numbers as labels, got int64"),
        ({"labels": LABELS / 1}, "expected 250 whole numbers as labels, got float64"),
        ({"labels": LABELS + 1}, "expected labels from 0 to 2, got 1 to 3"),
        ({"labels": LABELS - 1}, "expected labels from 0 to 2, got -1 to 1"),
        ({"epochs": 0}, "expected at least one epoch, got 0"),
        ({"batch_size": 251}, "expected 1 <= batch_size <= 250 images, got 251"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(change, message):
    arguments = {"images": IMAGES, "labels": LABELS, "key": KEY, "epochs": 1, **change}
    with pytest.raises(ValueError, match=message):
        train_classifier(CLASSIFIER, **arguments)
