"""The similarity that another condition takes, and its error over seeds."""

import numpy as np
import pytest

from benchmarks.error_rates.likeness import Case, debiased_cka, rates
from jaxvae.analysis import similarity_lost
from jaxvae.metrics import cka_matrix

# Seeds 0 and 1, with conditions a and b.
SEEDS, CONDITIONS = [0, 0, 1, 1], ["a", "b", "a", "b"]
DIFFERS = np.array([[one != other for one in CONDITIONS] for other in CONDITIONS])


def symmetric(models, *, random):
    drawn = random.uniform(size=(models, models))
    return (drawn + drawn.T) / 2


def crossed(seeds, conditions):
    """Seeds and conditions of a crossed design, and which pairs differ in the condition."""
    names = list(range(conditions)) * seeds
    return np.repeat(np.arange(seeds), conditions), names, np.not_equal.outer(names, names)


def test_it_is_the_difference_between_pairs_of_one_condition_and_of_two():
    similarity = np.ones((4, 4))
    similarity[0, 2] = similarity[2, 0] = 0.9  # both a
    similarity[1, 3] = similarity[3, 1] = 0.7  # both b
    similarity[0, 3] = similarity[3, 0] = 0.5
    similarity[1, 2] = similarity[2, 1] = 0.4
    found = similarity_lost(similarity, SEEDS, CONDITIONS, DIFFERS)
    np.testing.assert_allclose(found.value, 0.8 - 0.45)
    assert np.isnan(found.stderr)
    assert np.isnan(found.limits()).all()
    assert found.seeds == 2


def test_models_of_one_seed_are_not_compared():
    random = np.random.default_rng(0)
    seeds, names, differs = crossed(4, 3)
    similarity = symmetric(12, random=random)
    other = similarity.copy()
    other[np.equal.outer(seeds, seeds)] = 7.0
    one, two = (similarity_lost(each, seeds, names, differs) for each in (similarity, other))
    np.testing.assert_array_equal(one, two)


def test_the_error_is_that_of_leaving_out_one_seed_after_another():
    random = np.random.default_rng(1)
    seeds, names, differs = crossed(5, 3)
    similarity = np.stack([symmetric(15, random=random) for _ in range(2)])
    found = similarity_lost(similarity, seeds, names, differs)
    without = []
    for seed in range(5):
        rest = np.flatnonzero(seeds != seed)
        inner = np.ix_(rest, rest)
        left = similarity[:, *inner]
        without.append(similarity_lost(left, seeds[rest], names[:12], differs[inner]).value)
    spread = np.sum((np.array(without) - np.mean(without, axis=0)) ** 2, axis=0)
    np.testing.assert_allclose(found.stderr, np.sqrt(4 / 5 * spread))
    # 2.776 is the quantile of Student's t for four degrees of freedom.
    low, high = found.limits()
    np.testing.assert_allclose(high - low, 2 * 2.776445 * found.stderr)
    np.testing.assert_allclose((high + low) / 2, found.value)


def test_the_order_of_models_is_of_no_consequence():
    random = np.random.default_rng(2)
    seeds, names, differs = crossed(4, 3)
    similarity, order = symmetric(12, random=random), random.permutation(12)
    one = similarity_lost(similarity, seeds, names, differs)
    inner = np.ix_(order, order)
    two = similarity_lost(
        similarity[inner], seeds[order], [names[each] for each in order], differs[inner]
    )
    np.testing.assert_allclose(one, two)


def test_a_condition_that_a_seed_lacks_is_left_out():
    random = np.random.default_rng(3)
    seeds, names, differs = crossed(3, 3)
    similarity = symmetric(9, random=random)
    # Of the last seed, condition 2 failed: it does not count with any other either.
    rest = np.arange(8)
    lacking = similarity_lost(similarity[:8, :8], seeds[rest], names[:8], differs[:8, :8])
    both = np.flatnonzero(np.array(names) < 2)
    inner = np.ix_(both, both)
    expected = similarity_lost(
        similarity[inner], seeds[both], [names[each] for each in both], differs[inner]
    )
    np.testing.assert_allclose(lacking, expected)


def test_nan_of_a_layer_is_that_of_its_value_alone():
    seeds, names, differs = crossed(3, 2)
    similarity = np.stack([symmetric(6, random=np.random.default_rng(4))] * 2)
    similarity[0, 0, 3] = similarity[0, 3, 0] = np.nan
    found = similarity_lost(similarity, seeds, names, differs)
    assert np.isnan(found.value).tolist() == [True, False]
    assert np.isnan(found.stderr).tolist() == [True, False]


@pytest.mark.parametrize(
    ("seeds", "conditions", "differs"),
    [
        ([0, 0], ["a", "b"], np.array([[False, True], [True, False]])),
        ([0, 1], ["a", "b"], np.array([[False, True], [True, False]])),
        ([0, 1], ["a", "a"], np.zeros((2, 2), bool)),
        ([], [], np.zeros((0, 0), bool)),
    ],
    ids=["one seed", "nothing in common", "one condition", "no model"],
)
def test_what_cannot_be_compared_is_not_known(seeds, conditions, differs):
    found = similarity_lost(np.ones((3, *differs.shape)), seeds, conditions, differs)
    assert np.isnan(found.value).tolist() == [True] * 3
    assert np.isnan(found.stderr).tolist() == [True] * 3


@pytest.mark.parametrize(
    ("similarity", "differs"),
    [
        (np.ones((4, 3)), DIFFERS),
        (np.ones(4), DIFFERS),
        (np.ones((4, 4)), DIFFERS[:3, :3]),
        (np.ones((3, 3)), DIFFERS[:3, :3]),
    ],
)
def test_shapes_that_do_not_match_are_refused(similarity, differs):
    with pytest.raises(ValueError, match=r"expected similarities \[\.\.\., 4, 4\]"):
        similarity_lost(similarity, SEEDS, CONDITIONS, differs)


def test_two_models_of_one_seed_and_condition_are_refused():
    with pytest.raises(ValueError, match="expected one model of seed 1 and a, got several"):
        similarity_lost(np.ones((3, 3)), [0, 1, 1], ["a"] * 3, np.zeros((3, 3), bool))


def test_the_similarities_of_simulated_studies_are_debiased_cka():
    layers = np.random.default_rng(5).standard_normal((3, 20, 4)).astype(np.float32)
    np.testing.assert_allclose(
        debiased_cka(layers.astype(np.float64)), cka_matrix(list(layers), debiased=True), atol=1e-5
    )


@pytest.mark.slow
def test_limits_miss_the_truth_as_often_as_they_say():
    found = rates(Case(0.3, 0.3, 0.3), seeds=5, studies=300)
    # Three standard errors of 5%.
    limit = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    assert found["missed"] < limit
    assert found["apart"] < limit
