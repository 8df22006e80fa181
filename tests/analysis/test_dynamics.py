"""Similarities of many spaces."""

import numpy as np
import pytest

from jaxvae.analysis.dynamics import similarities, similarities_between
from jaxvae.metrics import (
    cka_matrix,
    debiased_cka,
    imbalance_matrix,
    linear_cka,
    procrustes_similarity,
)
from tests.tiers import parametrize


@pytest.fixture(scope="module")
def spaces():
    random = np.random.default_rng(0)
    base = random.normal(size=(60, 4)).astype(np.float32)
    maps = [random.normal(size=(4, width)).astype(np.float32) for width in (3, 8, 8, 12)]
    return [base, *(base @ one for one in maps)]


@pytest.mark.slow
def test_every_similarity_is_taken_on_its_own_number_of_examples(spaces):
    points = {"cka": 60, "debiased_cka": 50, "procrustes": 30, "imbalance": 20}
    found = similarities(spaces, points=points)
    x, y = spaces[0], spaces[1]
    np.testing.assert_allclose(found["cka"][0, 1], linear_cka(x, y), rtol=1e-5)
    np.testing.assert_allclose(found["debiased_cka"][0, 1], debiased_cka(x[:50], y[:50]), 1e-4)
    expected = procrustes_similarity(x[:30], y[:30])
    np.testing.assert_allclose(found["procrustes"][0, 1], expected, rtol=1e-5)
    expected = imbalance_matrix([x[:20], y[:20]])[0, 1]
    np.testing.assert_allclose(found["imbalance"][0, 1], expected, rtol=1e-6)


def test_a_similarity_that_there_is_not_is_refused(spaces):
    with pytest.raises(ValueError, match=r"among cka, .*, imbalance, got foo"):
        similarities(spaces, points={"foo": 3})


def test_more_points_than_there_are_are_refused():
    with pytest.raises(ValueError, match="up to the 5 examples there are, got 6"):
        similarities([np.eye(5), np.eye(5)], points={"cka": 6})


@parametrize("block", [2, 1, 3, 5])
def test_blocks_of_spaces_give_the_whole_matrix(spaces, block):
    loaded = []

    def load(index):
        loaded.append(index)
        return {"one": spaces[index], "other": 2 * spaces[index] ** 2}

    found = similarities_between(load, 5, points={"cka": 60}, block=block)
    assert list(found) == ["one", "other"]
    np.testing.assert_allclose(found["one"]["cka"], cka_matrix(spaces), rtol=1e-4, atol=1e-6)
    squares = cka_matrix([space**2 for space in spaces])
    np.testing.assert_allclose(found["other"]["cka"], squares, rtol=1e-4, atol=1e-6)
    # Of five models, all that fit at once are loaded once.
    assert sorted(loaded) == list(range(5)) or block < 3
