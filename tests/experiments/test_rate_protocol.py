"""What is measured as the paper did, on layers and judges of which the result is known."""

import numpy as np
import pytest

from experiments.rate_allocation.protocol import CLASSIFIERS, WIDEST, measure_protocol

N, CLASSES = 100, 2


def measured(*, samples=None, judge=None):
    """Of means that tell the label of z_2, and of z_1 only in the images that are learned from."""
    random = np.random.default_rng(0)
    labels = np.arange(N) % CLASSES
    told = 10.0 * labels[:, None] + random.normal(size=(N, 3))
    late = told.copy()
    late[80:] = 10 - late[80:]
    taps = {
        "input": random.uniform(size=(N, 2, 2, 1)),
        "z_2/mean": told,
        "z_2/sample": random.normal(size=(N, 3)),
        "z_1/mean": late.reshape(N, 1, 3, 1),
        "z_3/mean": random.normal(size=(N, WIDEST + 1)),
        # As bright as the label, and in half of the images beyond what pixels can be.
        "output": np.broadcast_to(1.5 * labels[:, None, None, None], (N, 2, 2, 1)),
    }
    samples = taps["output"][:50].clip(0, 1) if samples is None else samples
    return measure_protocol(taps, labels, samples, judge=judge or by_brightness)


def by_brightness(images):
    assert 0 <= images.min() <= images.max() <= 1
    bright = images.mean(axis=(1, 2, 3))
    return np.stack([1 - bright, bright], axis=1)


def test_classifiers_of_means_learn_from_the_first_four_fifths_and_are_tested_on_the_rest():
    found = measured()
    assert found["split_accuracy"].shape == (3, len(CLASSIFIERS))
    np.testing.assert_array_equal(found["split_accuracy"][0], 1)
    np.testing.assert_array_equal(found["split_accuracy"][1], 0)
    # Of 20 test images, all right.
    assert found["split_accuracy_stderr"][0, 0] == pytest.approx(np.sqrt(21 / 22 / 22 / 23))


def test_a_wide_layer_is_not_classified():
    assert np.isnan(measured()["split_accuracy"][2]).all()


def test_reconstructions_are_judged_by_their_labels():
    assert measured()["reconstruction_accuracy"] == 1
    wrong = measured(judge=lambda images: by_brightness(images)[:, ::-1])
    assert wrong["reconstruction_accuracy"] == 0


def test_the_score_of_parts_is_the_mean_of_the_scores_of_five_and_their_deviation():
    probabilities = np.random.default_rng(1).dirichlet(np.full(10, 0.3), size=50)

    def judge(images):
        if len(images) == N:
            return np.full((N, CLASSES), 0.5)
        return probabilities

    found = measured(samples=np.zeros((len(probabilities), 2, 2, 1)), judge=judge)
    scores = []
    for part in probabilities.reshape(5, -1, probabilities.shape[1]):
        marginal = part.mean(axis=0)
        logs = np.log(part, out=np.zeros_like(part), where=part > 0) - np.log(marginal)
        scores.append(np.exp(np.sum(part * logs, axis=1).mean()))
    assert found["split_score"] == pytest.approx(np.mean(scores), rel=1e-5)
    assert found["split_score_deviation"] == pytest.approx(np.std(scores), rel=1e-3)
