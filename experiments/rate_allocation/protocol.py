"""Measurements as in Xiao and Bamler (2023), where this experiment measures in another way."""

from collections.abc import Callable, Mapping

import numpy as np

from jaxvae.analysis import classify
from jaxvae.analysis.estimate import share_estimate
from jaxvae.metrics import inception_score

CLASSIFIERS = ("logistic regression", "linear svm", "radial svm", "nearest neighbors")
# Layers with more numbers than this are not classified: kernels of them take minutes.
WIDEST = 1024
# What is recorded, with the dimensions that it has of its own.
PROTOCOL: dict[str, tuple[str, ...]] = {
    "split_accuracy": ("layer", "classifier"),
    "reconstruction_accuracy": (),
    "split_score": (),
    "split_score_deviation": (),
}
# Classifiers learn from this share of the test images.
# The generated images are scored in so many parts.
_LEARNED_FROM, _PARTS = 0.8, 5


def measure_protocol(
    taps: Mapping[str, np.ndarray],
    labels: np.ndarray,
    samples: np.ndarray,
    *,
    judge: Callable[[np.ndarray], np.ndarray],
) -> dict[str, np.ndarray]:
    """The accuracies and inception scores of a model, as Xiao and Bamler (2023) measure them.

    Args:
        taps: layers of the test images, by name.
        labels: labels of the same images.
        samples: generated images.
        judge: function from images in [0, 1] to the probabilities of their labels.

    Returns:
        `split_accuracy`, of classifiers of posterior means that learn from the first 80% of
        the test images and are tested on the others, NaN of layers with more than 1,024 numbers;
        `reconstruction_accuracy`, how often the judge finds the label in a reconstruction; both
        with standard errors. `split_score` and `split_score_deviation`: mean and standard
        deviation (dividing by 5) of the inception scores of five parts. Each part is small, so
        that their mean is lower than the score of all samples.
    """
    layers = [tap for name, tap in taps.items() if name.startswith("z_") and "/mean" in name]
    accuracy = np.full((2, len(layers), len(CLASSIFIERS)), np.nan)
    count = int(_LEARNED_FROM * len(labels))
    for index, means in enumerate(layers):
        if means[0].size <= WIDEST:
            accuracies = classify(means[:count], labels[:count], means[count:], labels[count:])
            for column, name in enumerate(CLASSIFIERS):
                accuracy[:, index, column] = accuracies[name].value, accuracies[name].stderr
    reconstructed, generated = judge(taps["output"].clip(0, 1)), judge(samples)
    right = share_estimate(int(np.sum(reconstructed.argmax(axis=1) == labels)), len(labels))
    scores = [float(inception_score(part)) for part in np.array_split(generated, _PARTS)]
    return {
        "split_accuracy": accuracy[0],
        "split_accuracy_stderr": accuracy[1],
        "reconstruction_accuracy": right.value,
        "reconstruction_accuracy_stderr": right.stderr,
        "split_score": np.array(np.mean(scores)),
        "split_score_deviation": np.array(np.std(scores)),
    }
