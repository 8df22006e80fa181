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


@pytest.mark.parametrize("times", [(2, 2), (3, 1), (1, 3), (1, 4)])
def test_conditions_that_are_less_similar_to_all_lose_nothing_by_that(times):
    # Models of the second kind are less similar to models of either, and kinds do not interact.
    kinds = np.repeat([0, 1], times)
    seeds, names, _ = crossed(3, len(kinds))
    kind = kinds[names]
    quality = np.array([0.9, 0.6])[kind]
    similarity = np.add.outer(quality, quality) / 2
    differs = np.not_equal.outer(kind, kind)
    for alike in (None, ~differs, ~differs & np.not_equal.outer(names, names)):
        found = similarity_lost(similarity, seeds, names, differs, alike)
        if alike is None or min(times) > 1:
            np.testing.assert_allclose(found[:2], 0, atol=1e-12)


def test_models_are_compared_with_those_that_are_alike():
    kind = np.array([0, 0, 1, 1])
    seeds, names, _ = crossed(2, 4)
    random = np.random.default_rng(6)
    similarity = symmetric(8, random=random)
    kinds = kind[names]
    differs = np.not_equal.outer(kinds, kinds)
    alike = ~differs & np.not_equal.outer(names, names)
    lost = []
    for one in range(4):
        for other in range(4, 8):
            if differs[one, other]:
                near = [similarity[one, m] for m in range(4, 8) if alike[one, m]]
                near += [similarity[m, other] for m in range(4) if alike[m, other]]
                assert len(near) == 2
                lost.append(np.mean(near) - similarity[one, other])
    found = similarity_lost(similarity, seeds, names, differs, alike)
    np.testing.assert_allclose(found.value, np.mean(lost))
    assert found.counted == {0, 1, 2, 3}


def test_a_condition_that_is_alike_to_none_does_not_count():
    seeds, names, _ = crossed(3, 5)
    kinds = np.array([0, 0, 1, 1, 2])[names]
    differs = np.not_equal.outer(kinds, kinds)
    alike = ~differs & np.not_equal.outer(names, names)
    similarity = symmetric(15, random=np.random.default_rng(7))
    found = similarity_lost(similarity, seeds, names, differs, alike)
    inner = np.ix_(*[np.flatnonzero(kinds < 2)] * 2)
    rest = similarity_lost(
        similarity[inner], seeds[kinds < 2], [n for n in names if n < 4], differs[inner],
        alike[inner],
    )  # fmt: skip
    np.testing.assert_array_equal(found[:2], rest[:2])
    assert found.counted == rest.counted == {0, 1, 2, 3}


def test_the_order_of_models_is_of_no_consequence():
    random = np.random.default_rng(2)
    seeds, names, differs = crossed(4, 3)
    similarity, order = symmetric(12, random=random), random.permutation(12)
    one = similarity_lost(similarity, seeds, names, differs)
    inner = np.ix_(order, order)
    two = similarity_lost(
        similarity[inner], seeds[order], [names[each] for each in order], differs[inner]
    )
    np.testing.assert_allclose(one[:3], two[:3])
    assert one.counted == two.counted


@pytest.mark.parametrize(
    ("count", "absent", "rest"),
    [
        # Three seeds have condition 2: the fourth is left out.
        (4, [11], lambda seed, condition: seed < 3),
        # Of the last seed there is one model alone.
        (5, [12, 13], lambda seed, condition: seed < 4),
        # Two seeds have it, which have no error: the condition is left out.
        (3, [8], lambda seed, condition: condition < 2),
        (5, [5, 8, 14], lambda seed, condition: condition < 2),
        # Three seeds have conditions 0 and 1, and a further one has others.
        (4, [2, 5, 8, 10], lambda seed, condition: seed < 3 and condition < 2),
    ],
)
def test_seeds_or_conditions_that_are_lacking_are_left_out(count, absent, rest):
    seeds, names, differs = crossed(count, 3)
    similarity = symmetric(3 * count, random=np.random.default_rng(3))

    def of(models):
        inner = np.ix_(models, models)
        return similarity_lost(
            similarity[inner], seeds[models], [names[each] for each in models], differs[inner]
        )

    chosen = [m for m in range(3 * count) if rest(seeds[m], names[m])]
    lacking, expected = of(np.delete(np.arange(3 * count), absent)), of(chosen)
    np.testing.assert_array_equal(lacking[:3], expected[:3])
    assert lacking.counted == expected.counted


@pytest.mark.parametrize("unknown", [np.nan, np.inf])
def test_nan_of_a_layer_is_that_of_its_value_alone(unknown):
    seeds, names, differs = crossed(3, 2)
    similarity = np.stack([symmetric(6, random=np.random.default_rng(4))] * 2)
    similarity[0, 0, 3] = similarity[0, 3, 0] = unknown
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


@pytest.mark.parametrize("which", range(3), ids=["similarity", "differs", "alike"])
def test_pairs_that_are_told_one_way_alone_are_refused(which):
    given = [np.ones((4, 4)), DIFFERS, ~DIFFERS]
    given[which] = np.triu(given[which])
    with pytest.raises(ValueError, match=r"expected every two models both ways, got .* symmetric"):
        similarity_lost(given[0], SEEDS, CONDITIONS, *given[1:])


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
    assert found["missed_alone"] < limit
    assert found["apart"] < limit
