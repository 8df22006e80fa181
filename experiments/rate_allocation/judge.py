"""The classifier of generated images: trained once for a folder, and read by all others."""

import time
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.rate_allocation.config import Config
from experiments.rate_allocation.runs import load
from jaxvae.analysis import Estimate, classifier_accuracy
from jaxvae.data import Dataset, Split
from jaxvae.files.whole import remove_leftovers
from jaxvae.models import Classifier, convolutional_classifier
from jaxvae.runs import checkpoint
from jaxvae.sweeps.claims import claim
from jaxvae.sweeps.sweep import CLAIMS
from jaxvae.training import train_classifier
from jaxvae.typing import ImageShape

JUDGE = "judge"
_WAIT_SECONDS = 1.0


class Judge(NamedTuple):
    """The classifier of generated images.

    Attributes:
        classifier: the network.
        params: what it learned.
        accuracy: its accuracy on the test images.
    """

    classifier: Classifier
    params: Any
    accuracy: Estimate


@cache
def judge_of(config: Config, out: Path) -> Judge:
    """The judge of a folder, which is trained if it is not there or damaged.

    If another process is training it, this one waits.
    """
    dataset = load(config)
    classifier = untrained_judge(dataset)
    while True:
        with claim(out / CLAIMS, JUDGE) as tell:
            if tell is not None:
                params = _params(config, out / JUDGE, classifier, dataset)
                break
        time.sleep(_WAIT_SECONDS)
    test = dataset.test
    accuracy = classifier_accuracy(classifier, params, test.images, labels_of(test))
    return Judge(classifier, params, accuracy)


def untrained_judge(dataset: Dataset) -> Classifier:
    """The classifier before it is trained.

    Raises:
        ValueError: for data without labels, and images that it does not take.
    """
    classes = int(labels_of(dataset.train).max()) + 1
    return _classifier_of(dataset.train.images.shape[1:], classes)


@cache
def _classifier_of(image_shape: ImageShape, classes: int) -> Classifier:
    """One object, so that what is compiled for it is found again."""
    return convolutional_classifier(image_shape=image_shape, classes=classes)


def labels_of(split: Split) -> np.ndarray:
    """The labels of a split.

    Raises:
        ValueError: where it has none.
    """
    if split.labels is None:
        raise ValueError("expected --data with labels, got a data set without any")
    return split.labels


def _params(config: Config, folder: Path, classifier: Classifier, dataset: Dataset) -> Any:
    """The parameters of the judge: read from its folder, or else trained and written there."""
    saved = checkpoint.load_latest(folder, jax.eval_shape(classifier.init, jax.random.key(0)))
    if saved is not None:
        return saved
    images = dataset.train.images
    params = train_classifier(
        classifier,
        images,
        labels_of(dataset.train),
        key=jax.random.key(0),
        epochs=config.judge_epochs,
        batch_size=min(100, len(images)),
    )
    remove_leftovers(folder)
    checkpoint.save(folder, config.judge_epochs, params)
    return params
