import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvae.metrics.information import accuracy_bound, inception_score, information_for_accuracy
from tests import reference
from tests.tiers import parametrize

BALANCED = np.full(10, 0.1)
SKEWED = np.array([0.5, 0.25, 0.125, 0.0625, 0.0625])
# The documented accuracies.
ACCURACY, NATS = 2e-7, 3e-6


def entropy(probabilities):
    positive = np.asarray(probabilities, np.longdouble)
    positive = positive[positive > 0] / positive.sum()
    return -np.sum(positive * np.log(positive))


def nats_of(above, probabilities):
    """f(1/M + above) in extended precision, which resolves its minimum at chance."""
    classes, above = len(probabilities), np.longdouble(above)
    a = 1 / np.longdouble(classes) + above
    rest = 1 - a
    wrong = rest * np.log(rest / (classes - 1)) if rest > 0 else 0
    return entropy(probabilities) + a * np.log(a) + wrong


def accuracy_of(nats, probabilities):
    chance = 1 / np.longdouble(len(probabilities))
    low, high = np.longdouble(0), 1 - chance
    if nats >= entropy(probabilities):
        return 1.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if nats_of(middle, probabilities) <= nats else (low, middle)
    return float(chance + low)


def near_both_ends(whole):
    """From 1e-9 above zero to 1e-7 below `whole`, as numbers that float32 holds."""
    return np.concatenate(
        [np.geomspace(1e-9, whole / 2, 25), whole - np.geomspace(whole / 2, 1e-7, 25)]
    ).astype(np.float32)


@parametrize("classes", [2, 1000, 3, 10], quick=2)
@pytest.mark.parametrize("balanced", [True, False], ids=["balanced", "unbalanced"])
def test_the_bound_has_its_documented_accuracy_at_both_ends(classes, balanced):
    generator = np.random.default_rng(classes)
    labels = np.full(classes, 1 / classes) if balanced else generator.dirichlet(np.ones(classes))
    nats = near_both_ends(float(entropy(labels)))
    expected = [accuracy_of(value, labels) for value in nats]
    np.testing.assert_allclose(accuracy_bound(nats, labels), expected, rtol=0, atol=ACCURACY)


@pytest.mark.parametrize("labels", [BALANCED, SKEWED], ids=["balanced", "unbalanced"])
def test_the_information_has_its_documented_accuracy_at_both_ends(labels):
    above = np.minimum(near_both_ends(1 - 1 / len(labels)).astype(np.float64), 1 - 1 / len(labels))
    found = information_for_accuracy(1 / len(labels) + above, labels)
    expected = [float(nats_of(value, labels)) for value in above]
    np.testing.assert_allclose(found, expected, rtol=0, atol=NATS)


@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
@pytest.mark.parametrize("above", [0, 1e-8, 1e-6, 1e-4])
def test_near_the_least_information_the_bound_has_its_documented_accuracy(classes, above):
    labels = np.random.default_rng(classes).dirichlet(np.ones(classes))
    nats = float(nats_of(0, labels)) + above
    assert abs(accuracy_bound(nats, labels) - accuracy_of(nats, labels)) <= 3e-4


def test_near_chance_the_information_keeps_its_relative_accuracy():
    # M^2 u^2 / (2 (M - 1)) nats, 6e-10 here, where a difference of entropies is 1e-7 off.
    above = 1e-5
    found = information_for_accuracy(0.1 + above, BALANCED)
    np.testing.assert_allclose(found, float(nats_of(above, BALANCED)), rtol=1e-4)


@parametrize("classes", [2, 7, 3, 10, 100], quick=2)
def test_balanced_labels_give_chance_at_nothing_and_one_at_their_entropy(classes):
    labels = np.full(classes, 1 / classes)
    found = accuracy_bound(np.array([0.0, np.log(classes), 50.0]), labels)
    np.testing.assert_allclose(found[0], 1 / classes, atol=ACCURACY)
    np.testing.assert_array_equal(found[1:], 1)


def test_unbalanced_labels_give_more_than_the_largest_class_at_nothing():
    # The bound is loose there: the best guess is right half of the time.
    found = accuracy_bound(0.0, SKEWED)
    np.testing.assert_allclose(found, accuracy_of(0.0, SKEWED), atol=ACCURACY)
    assert found > 0.5


def test_certain_labels_need_no_information():
    labels = np.array([1.0, 0.0, 0.0])
    assert accuracy_bound(0.0, labels) == 1
    np.testing.assert_allclose(information_for_accuracy(1.0, labels), 0, atol=NATS)


@pytest.mark.parametrize("tiny", [1e-7, 1e-8, 1e-10, 1e-20])
def test_a_class_that_hardly_occurs_counts_as_one_that_does_not(tiny):
    for function, at in ((accuracy_bound, 0.5), (information_for_accuracy, 0.9)):
        found = function(at, np.array([0.5, 0.5 - tiny, tiny]))
        np.testing.assert_allclose(found, function(at, np.array([0.5, 0.5, 0.0])), atol=3e-5)


def test_below_the_least_information_the_bound_is_chance():
    found = accuracy_bound(np.array([-1.0, -np.inf]), SKEWED)
    np.testing.assert_array_equal(found, np.float32(0.2))
    least = information_for_accuracy(0.2, SKEWED)
    np.testing.assert_allclose(least, float(entropy(SKEWED)) - np.log(5), atol=NATS)


def test_no_classifier_of_a_noisy_label_beats_the_bound():
    # The label through a symmetric channel: the bound is attained where labels are balanced.
    for right in (0.15, 0.5, 0.99):
        channel = np.full((10, 10), (1 - right) / 9) + (right - (1 - right) / 9) * np.eye(10)
        information = np.sum(0.1 * channel * np.log(channel / 0.1))
        np.testing.assert_allclose(accuracy_bound(information, BALANCED), right, atol=ACCURACY)
    for noise in np.random.default_rng(0).dirichlet(np.ones(5), (50, 5)):
        joint = SKEWED[:, None] * noise
        information = np.sum(joint * np.log(noise / joint.sum(axis=0)))
        assert joint.max(axis=0).sum() <= accuracy_bound(information, SKEWED) + ACCURACY


labels_of_all_kinds = st.lists(st.floats(0.01, 1), min_size=2, max_size=2).map(
    lambda weights: np.array([*weights, 1.0]) / (sum(weights) + 1)
)
properties = settings(max_examples=30, deadline=None, derandomize=True)


@properties
@given(labels_of_all_kinds, st.floats(0, 1))
def test_bound_and_information_are_inverses(labels, share):
    accuracy = 1 / 3 + share * 2 / 3
    nats = information_for_accuracy(accuracy, labels)
    back = accuracy_bound(np.asarray(nats), labels)
    # Near chance the nats are known to 1e-7 at best, and quadratic in the accuracy.
    np.testing.assert_allclose(back, accuracy, atol=2e-4 if share < 0.01 else 1e-5)


@properties
@given(labels_of_all_kinds, st.floats(0, 1), st.permutations([0, 1, 2]))
def test_the_bound_grows_with_information_and_ignores_the_order_of_labels(labels, nats, order):
    low, high = accuracy_bound(np.array([nats, nats + 0.01]), labels)
    assert low < high or high == 1
    np.testing.assert_allclose(accuracy_bound(nats, labels[order]), low, atol=ACCURACY)


def test_probabilities_that_sum_to_one_but_for_rounding_are_normalized():
    rounded = np.full(10, 0.1, np.float16)
    np.testing.assert_allclose(accuracy_bound(0.5, rounded), accuracy_bound(0.5, BALANCED))


def test_vmap_equals_the_loop():
    nats, labels = jnp.array([0.0, 0.3, 0.7, 3.0]), jnp.asarray(SKEWED)
    found = jax.vmap(accuracy_bound, in_axes=(0, None))(nats, labels)
    np.testing.assert_allclose(found, [accuracy_bound(value, labels) for value in nats])
    back = jax.vmap(information_for_accuracy, in_axes=(0, None))(found, labels)
    expected = [information_for_accuracy(value, labels) for value in found]
    np.testing.assert_allclose(back, expected, atol=1e-6)
    rows = jnp.stack([labels, labels[::-1]])
    np.testing.assert_allclose(
        jax.vmap(inception_score)(jnp.stack([rows, rows[:, ::-1]])), [inception_score(rows)] * 2
    )


def test_information_of_any_shape_gives_accuracies_of_that_shape():
    nats = np.linspace(0, 1, 6).reshape(2, 3)
    assert accuracy_bound(nats, SKEWED).shape == (2, 3)
    assert information_for_accuracy(0.5 + nats / 2, SKEWED).shape == (2, 3)


def test_one_shape_is_traced_once():
    traces = 0

    @jax.jit
    def counted(nats, labels):
        nonlocal traces
        traces += 1
        return information_for_accuracy(accuracy_bound(nats, labels), labels)

    for nats in (0.2, 0.5, 0.9):
        np.testing.assert_allclose(counted(nats, SKEWED), nats, atol=1e-6)
    assert traces == 1


def test_traced_nan_gives_nan():
    value, slope = jax.jit(jax.value_and_grad(accuracy_bound))(jnp.nan, SKEWED)
    assert jnp.isnan(value)
    assert jnp.isnan(slope)


slopes_of_the_bound = jax.jit(jax.vmap(jax.grad(accuracy_bound, argnums=(0, 1)), in_axes=(0, None)))


@pytest.mark.parametrize("labels", [BALANCED, SKEWED], ids=["balanced", "unbalanced"])
def test_the_derivatives_of_the_bound_are_those_of_its_definition(labels):
    step = 1e-6
    nats = np.linspace(0.05, 0.95, 5) * float(entropy(labels))
    by_nats, by_labels = slopes_of_the_bound(jnp.asarray(nats), jnp.asarray(labels))
    ways = step * (np.eye(len(labels)) - np.full(len(labels), 1 / len(labels)))
    for place, value in enumerate(nats):
        differences = [
            (
                accuracy_of(value + step * up, labels + way)
                - accuracy_of(value - step * up, labels - way)
            )
            / (2 * step)
            for up, way in [(1, 0), *((0, way) for way in ways)]
        ]
        np.testing.assert_allclose(by_nats[place], differences[0], rtol=1e-4)
        np.testing.assert_allclose(
            by_labels[place] @ (ways / step), differences[1:], rtol=1e-4, atol=1e-5
        )


def test_where_the_bound_is_chance_or_one_it_has_no_slope():
    nats = jnp.array([-jnp.inf, -1.0, 0.0, 1e-8, 2.4, jnp.inf])
    by_nats, by_labels = slopes_of_the_bound(nats, jnp.asarray(BALANCED))
    np.testing.assert_array_equal(by_nats, 0)
    np.testing.assert_array_equal(by_labels, 0)


def test_the_slopes_of_the_bound_are_finite_near_its_ends_and_with_absent_classes():
    nats = jnp.array([1e-30, 1e-12, 1e-6, np.log(2) - 1e-6])
    for labels in (jnp.array([0.5, 0.5]), jnp.array([0.5, 0.5, 0.0])):
        assert all(jnp.isfinite(each).all() for each in slopes_of_the_bound(nats, labels))


def test_the_bound_has_a_second_derivative():
    # d2a/dI2 = -f''(a) / f'(a)^3.
    a = float(accuracy_of(0.5, BALANCED))
    first, second = np.log(9 * a / (1 - a)), 1 / a + 1 / (1 - a)
    found = jax.grad(jax.grad(accuracy_bound))(0.5, BALANCED)
    np.testing.assert_allclose(found, -second / first**3, rtol=1e-4)


def test_rows_alike_score_one_and_certain_rows_the_number_of_classes():
    alike, certain = np.tile(SKEWED, (7, 1)), np.eye(10)
    np.testing.assert_allclose(inception_score(alike), 1, rtol=1e-6)
    np.testing.assert_allclose(inception_score(certain), 10, rtol=1e-6)
    np.testing.assert_allclose(inception_score(np.eye(10)[:4]), 4, rtol=1e-6)


def test_the_score_is_diversity_times_sharpness():
    rows = np.random.default_rng(0).dirichlet(np.full(6, 0.3), 50)
    diversity = np.exp(entropy(rows.mean(axis=0)))
    sharpness = np.exp(-np.mean([entropy(row) for row in rows]))
    np.testing.assert_allclose(inception_score(rows), float(diversity * sharpness), rtol=1e-5)


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (np.array([0.5, 0.6]), "sum to one, got a sum off by 0.1"),
        (np.array([1.5, -0.5]), ">= 0, got -0.5"),
        (np.array([np.nan, 1.0]), ">= 0, got nan"),
        (np.array([np.inf, 1.0]), "sum to one, got a sum off by inf"),
        (np.ones(1), r"\[M >= 2\], got shape \(1,\)"),
        (np.ones((2, 2)), r"\[M >= 2\], got shape \(2, 2\)"),
        (np.float32(1), r"\[M >= 2\], got shape \(\)"),
    ],
)
def test_label_probabilities_that_are_none_are_refused(bad, complaint):
    for bound in (accuracy_bound, information_for_accuracy):
        with pytest.raises(ValueError, match=f"expected label_probabilities .*{complaint}"):
            bound(1.0, bad)


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (np.array([[1.0, 0.0], [0.5, 0.6]]), "sum to one, got a sum off by 0.1"),
        (np.array([[1.5, -0.5]]), ">= 0, got -0.5"),
        (np.ones((5, 1)), r"got shape \(5, 1\)"),
        (np.full(2, 0.5), r"got shape \(2,\)"),
        (np.ones((0, 2)), r"got shape \(0, 2\)"),
    ],
)
def test_class_probabilities_that_are_none_are_refused(bad, complaint):
    with pytest.raises(ValueError, match=rf"expected probabilities \[n, M >= 2\].*{complaint}"):
        inception_score(bad)


@pytest.mark.parametrize("accuracy", [0.19, 1.01, np.nan, np.array([0.5, -0.1])])
def test_accuracies_that_no_bound_gives_are_refused(accuracy):
    with pytest.raises(ValueError, match=r"expected accuracy from 0\.2 to 1, got"):
        information_for_accuracy(accuracy, SKEWED)


def test_chance_in_float32_is_not_below_chance():
    below = [classes for classes in range(2, 40) if float(np.float32(1 / classes)) < 1 / classes]
    for classes in below[:3]:
        information_for_accuracy(np.float32(1 / classes), np.full(classes, 1 / classes))


def test_information_that_is_nan_is_refused():
    with pytest.raises(ValueError, match="expected information from -inf to inf, got nan"):
        accuracy_bound(np.array([0.1, np.nan]), SKEWED)


def cases_with(name):
    return [case for case in reference.cases("hierarchical") if name in case.values[0]["inputs"]]


@pytest.mark.parametrize("case", cases_with("label_counts"))
def test_the_bounds_are_those_of_the_reference(case):
    inputs, expected = reference.load(case)
    labels = inputs["label_counts"] / inputs["label_counts"].sum()
    found = accuracy_bound(inputs["information"], labels)
    reference.assert_close(case, "f_inverse", found, expected["f_inverse"])
    found = information_for_accuracy(inputs["accuracies"], labels)
    reference.assert_close(case, "f", found, expected["f"])
    if "information_low" in inputs:
        found = accuracy_bound(inputs["information_low"], labels)
        reference.assert_close(case, "f_inverse_low", found, expected["f_inverse_low"])


@pytest.mark.parametrize("case", cases_with("probabilities"))
def test_the_score_is_that_of_the_reference(case):
    inputs, expected = reference.load(case)
    parts = np.split(inputs["probabilities"], case["parameters"]["splits"])
    scores = np.array([inception_score(part) for part in parts])
    want = expected["score"][:2]
    reference.assert_close(case, "score", [scores.mean(), scores.std()], want)
