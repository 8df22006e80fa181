"""Accuracies of classifiers of samples stay below their bound, where it is known exactly."""

import sys

import jax
import numpy as np
import pytest
from scipy.stats import norm

from jaxvae.analysis import (
    Estimate,
    aggregate_information,
    capture,
    choose_classifier,
    classify,
    evaluate,
    layer_accuracies,
)
from jaxvae.analysis.downstream import _classifiers, _fit
from jaxvae.metrics import accuracy_bound
from jaxvae.models import build_hvae
from tests.analysis import linear
from tests.models.hierarchies import LinearGaussian

NAMES = ["logistic regression", "linear svm", "radial svm", "nearest neighbors"]
BALANCED = np.array([0.5, 0.5])


def two_points(n, seed):
    """Labels of two images, y = x = +-1, with the means and samples of q = N(0.1 x, 1)."""
    labels = np.tile([-1, 1], n // 2)
    means = 0.1 * labels[:, None]
    return labels, means, means + np.random.default_rng(seed).standard_normal((n, 1))


@pytest.fixture(scope="module")
def two_point_accuracies():
    taps, labels = [], []
    for n, seed in ((2000, 0), (20_000, 1)):
        known, means, samples = two_points(n, seed)
        taps.append({"z_1/mean": means, "z_1/sample": samples})
        labels.append(known)
    information = Estimate(np.array([0.005]), np.array([0.0]))
    return layer_accuracies(taps[0], labels[0], taps[1], labels[1], information=information)["z_1"]


def test_the_example_of_the_paper_has_its_bound(two_point_accuracies):
    np.testing.assert_allclose(two_point_accuracies.bound.value, 0.5500, atol=5e-5)


def test_samples_of_two_points_are_told_apart_as_often_as_possible(two_point_accuracies):
    best = norm.cdf(0.1)
    assert round(best, 4) == 0.5398
    for name in ("logistic regression", "linear svm"):
        accuracy = two_point_accuracies.samples[name]
        assert abs(accuracy.value - best) < 3 * accuracy.stderr, name


def test_no_classifier_of_samples_beats_the_bound(two_point_accuracies):
    for accuracy in two_point_accuracies.samples.values():
        assert accuracy.value < two_point_accuracies.bound.value + 3 * accuracy.stderr


@pytest.mark.slow
def test_the_layers_of_a_hierarchy_stay_below_their_bounds():
    # A noisy posterior of little rate, so that the bound of the top layer binds.
    class Noisy(LinearGaussian):
        SEEN = np.array([[0.3], [0.1]])
        TOP_VARIANCE = 0.95

    hvae = build_hvae(Noisy(), image_shape=(1, 2, 1), shapes=[(1,), (2,)])
    labels = linear.IMAGES[:, 0, 0, 0] // 86
    taps = capture(hvae, linear.NOTHING, linear.IMAGES, key=jax.random.key(0))
    test = slice(0, None, 2), slice(1, None, 2)
    (train_taps, train_labels), (test_taps, test_labels) = (
        ({name: tap[rows] for name, tap in taps.items()}, labels[rows]) for rows in test
    )
    evaluation = evaluate(hvae, linear.NOTHING, linear.IMAGES[test[1]], key=jax.random.key(0))
    aggregate = aggregate_information(
        *(test_taps[f"z_2/{name}"] for name in ("sample", "mean", "log_variance")),
        labels=test_labels,
    )
    bounds = evaluation.information_bounds
    # What the top layer knows of the labels, in place of its rate.
    sharper = Estimate(*map(np.array, bounds))
    sharper.value[0], sharper.stderr[0] = aggregate.label_information
    rates, labelled = (
        layer_accuracies(train_taps, train_labels, test_taps, test_labels, information=information)
        for information in (bounds, sharper)
    )
    assert list(rates) == ["z_2", "z_1"]
    assert same(labelled["z_1"].samples, rates["z_1"].samples)
    assert same(labelled["z_1"].means, rates["z_1"].means)
    assert labelled["z_1"].bound == rates["z_1"].bound
    assert 1 / 3 < labelled["z_2"].bound.value < rates["z_2"].bound.value < 0.6
    for layer in (*rates.values(), labelled["z_2"]):
        for accuracy in layer.samples.values():
            allowed = 3 * np.hypot(accuracy.stderr, layer.bound.stderr)
            assert accuracy.value < layer.bound.value + allowed
    assert rates["z_2"].means["radial svm"].value > rates["z_2"].bound.value + 0.1


def test_means_tell_what_samples_hide(two_point_accuracies):
    assert {one.value for one in two_point_accuracies.means.values()} == {1.0}


def same(one, other):
    """Whether the accuracies by classifier are equal, down to every example."""
    alike = [np.array_equal(one[name].right, other[name].right) for name in one]
    return all(alike) and all(one[name][:3] == other[name][:3] for name in one)


def blobs(n, seed, spread=0.1):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n)
    return labels[:, None] * np.ones((n, 2)) + spread * random.standard_normal((n, 2)), labels


def test_clear_classes_are_told_apart_by_all():
    found = classify(*blobs(200, 0), *blobs(100, 1))
    assert list(found) == NAMES
    for accuracy in found.values():
        assert accuracy.value == 1
        assert accuracy.right.all()
        assert accuracy.stderr > 0
        assert accuracy.converged


def test_units_offsets_and_shapes_of_features_do_not_matter():
    features, labels = blobs(200, 0, spread=0.6)
    others, asked = blobs(100, 1, spread=0.6)
    expected = classify(features, labels, others, asked)
    moved = [
        (np.array([1e-4, 1e5]) * one + np.array([0.0, 100.0])).reshape(-1, 1, 2)
        for one in (features, others)
    ]
    found = classify(moved[0], labels, moved[1], asked)
    for name in NAMES:
        assert found[name].value == pytest.approx(expected[name].value, abs=0.011)


@pytest.mark.parametrize("exponents", [(660, -660), (-1030, 1010)])
def test_features_of_extreme_scale_are_told_apart_as_others(exponents):
    (features, labels), (others, asked) = blobs(200, 0, spread=0.6), blobs(100, 1, spread=0.6)
    # Whole numbers: a power of two rounds none of them, however small.
    features, others = np.rint(64 * features), np.rint(64 * others)
    expected = classify(features, labels, others, asked)
    found = classify(np.ldexp(features, exponents), labels, np.ldexp(others, exponents), asked)
    assert same(found, expected)


def test_a_test_example_beyond_all_those_of_training_is_classified():
    features, labels = blobs(20, 0)
    found = classify(features * 1e-200, labels, np.full((1, 2), 1e200), [labels.max()])
    assert found["logistic regression"].value == 1


@pytest.mark.parametrize("far", [1e200, 1e300])
def test_a_feature_that_hardly_varies_in_training_may_be_anything_in_the_test(far):
    features, labels = blobs(20, 0)
    features = np.c_[features, 1 - 2.0**-40 * (np.arange(len(features)) % 2)]
    found = classify(features, labels, np.array([[0.0, 0.0, far], [0.0, 0.0, 1.0]]), labels[:2])
    assert all(0 <= one.value <= 1 for one in found.values())


def test_nothing_is_random():
    arguments = *blobs(200, 0, spread=0.6), *blobs(100, 1, spread=0.6)
    assert same(classify(*arguments), classify(*arguments))


def test_constant_features_tell_the_most_frequent_label():
    labels, asked = np.array(["b", "b", "a"]), np.array(["a", "b", "a", "c"])
    found = classify(np.full((3, 4), 0.1), labels, np.zeros((4, 4)), asked)
    assert {one.value for one in found.values()} == {0.25}


def test_one_training_label_is_told_for_all():
    features = np.random.default_rng(0).standard_normal((10, 4))
    found = classify(features, np.zeros(10), features, np.arange(10) % 2)
    assert {one.value for one in found.values()} == {0.5}


def test_one_constant_feature_among_others_changes_nothing():
    (features, labels), (others, asked) = blobs(200, 0, spread=0.6), blobs(100, 1, spread=0.6)

    def wider(one):
        return np.concatenate([one, np.full((len(one), 1), 0.1)], axis=1)

    expected = classify(features, labels, others, asked)
    found = classify(wider(features), labels, wider(others), asked)
    for name in ("logistic regression", "linear svm", "nearest neighbors"):
        assert found[name].value == expected[name].value


def test_an_unfinished_classifier_says_so():
    features, labels = blobs(200, 0, spread=0.6)
    pipeline = _classifiers(5)["logistic regression"]
    assert _fit(pipeline, features, labels)
    pipeline.set_params(logisticregression__max_iter=1)
    assert not _fit(pipeline, features, labels)


def test_a_classifier_is_judged_by_examples_that_did_not_choose_it():
    right = np.array([[1, 0, 1, 0, 1, 1], [0, 1, 1, 1, 0, 1]], bool)
    # Even examples choose the first, which the odd ones judge; odd ones the second.
    assert choose_classifier(right).tolist() == [False, False, True, False, False, True]
    assert choose_classifier(np.stack([right, right[::-1]])).shape == (2, 6)


def test_what_is_right_may_be_a_list():
    right = [[True, False, True], [False, True, True]]
    assert choose_classifier(right).tolist() == choose_classifier(np.array(right)).tolist()


def test_the_best_of_equal_classifiers_is_as_good_as_each_of_them():
    right = np.random.default_rng(0).random((500, 4, 100)) < 0.7
    largest, chosen = right.mean(axis=2).max(axis=1), choose_classifier(right).mean(axis=1)
    error = (0.7 * 0.3 / 100 / 500) ** 0.5
    assert largest.mean() > 0.7 + 20 * error
    assert abs(chosen.mean() - 0.7) < 4 * error


@pytest.mark.parametrize("shape", [(3,), (0, 4), (3, 1)])
def test_there_is_nothing_to_choose_among_too_few(shape):
    with pytest.raises(ValueError, match=r"expected right \[..., classifiers, examples\]"):
        choose_classifier(np.zeros(shape, bool))


def test_the_bound_of_a_layer_is_that_of_its_information():
    random = np.random.default_rng(0)
    labels = np.arange(40) % 2
    taps = {
        f"z_{layer}/{kind}": random.standard_normal((40, 2))
        for layer in (2, 1) for kind in ("mean", "sample")
    }  # fmt: skip
    nats, errors = np.array([0.05, 0.3]), np.array([0.01, np.nan])
    found = layer_accuracies(taps, labels, taps, labels, information=Estimate(nats, errors))
    assert list(found) == ["z_2", "z_1"]
    for layer, value in zip(found.values(), nats, strict=True):
        np.testing.assert_allclose(layer.bound.value, accuracy_bound(value, BALANCED))
    spread = (accuracy_bound(0.06, BALANCED) - accuracy_bound(0.04, BALANCED)) / 2
    np.testing.assert_allclose(found["z_2"].bound.stderr, spread, rtol=1e-5)
    assert np.isnan(found["z_1"].bound.stderr)


def test_a_single_label_is_always_right():
    taps = {"z_1/mean": np.zeros((5, 1)), "z_1/sample": np.zeros((5, 1))}
    information = Estimate(np.zeros(1), np.zeros(1))
    labels = np.ones(5)
    found = layer_accuracies(taps, labels, taps, labels, information=information)["z_1"]
    assert found.bound == (1, 0)
    assert {one.value for one in found.samples.values()} == {1.0}


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(ModuleNotFoundError, match="pip install scikit-learn"):
        classify(*blobs(20, 0), *blobs(10, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: np.zeros((4, 3))}, r"expected features \[n, d\] and \[m, d\]"),
        ({1: np.zeros(3)}, r"expected features \[n, d\] and \[m, d\]"),
        ({3: np.zeros(3)}, r"expected test labels \[6\], got shape \(3,\)"),
        ({0: np.zeros(4)}, r"expected train features \[n, ...\], got shape \(4,\)"),
        ({2: np.full((6, 2), np.nan)}, "expected finite test features"),
    ],
)
def test_what_does_not_match_is_refused(change, message):
    arguments = {0: np.zeros((4, 2)), 1: np.arange(4), 2: np.zeros((6, 2)), 3: np.arange(6)}
    with pytest.raises(ValueError, match=message):
        classify(*(arguments | change).values())


def test_taps_without_a_layer_are_refused():
    with pytest.raises(ValueError, match="got none named z_1/sample, z_1/mean"):
        layer_accuracies({}, [], {}, [], information=Estimate(np.zeros(1), np.zeros(1)))


@pytest.mark.parametrize(
    ("nats", "message"),
    [
        (np.zeros(1), r"expected the information of z_2/sample, z_1/sample, got \['z_1/sample'\]"),
        (np.zeros(()), r"expected information \[l\] with errors \[l\], got shapes \(\) and \(\)"),
        (np.zeros(0), r"got shapes \(0,\) and \(0,\)"),
    ],
)
def test_the_information_of_some_layers_is_refused(nats, message):
    taps = {f"z_{layer}/{kind}": np.eye(2) for layer in (2, 1) for kind in ("mean", "sample")}
    labels = np.arange(2)
    with pytest.raises(ValueError, match=message):
        layer_accuracies(taps, labels, taps, labels, information=Estimate(nats, nats))
