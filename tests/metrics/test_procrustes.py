import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvae.metrics.procrustes import procrustes_matrix, procrustes_similarity
from tests import oracles, reference
from tests.clouds import NASTY, gaussian, rotation
from tests.memory import largest_array
from tests.tiers import parametrize

OTHER = gaussian(seed=9) + NASTY["plain"]
SPREAD = [name for name in NASTY if name != "constant"]


def exact(x, y):
    x, y = unit(x), unit(y)
    return np.linalg.svd(x.T @ y, compute_uv=False).sum()


def unit(space):
    values = oracles.centered(space)
    return values / np.linalg.norm(values)


@pytest.mark.parametrize("name", SPREAD)
def test_similarity_is_the_nuclear_norm_of_the_definition(name):
    np.testing.assert_allclose(
        procrustes_similarity(NASTY[name], OTHER), exact(NASTY[name], OTHER), rtol=3e-6
    )


@pytest.mark.parametrize("case", reference.cases("similarity"))
def test_similarity_agrees_with_the_reference(case):
    inputs, expected = reference.load(case)
    found = procrustes_similarity(inputs["x"], inputs["y"])
    reference.assert_close(case, "procrustes", found, expected["procrustes"])


@pytest.mark.parametrize(("n", "d", "e"), [(2, 1, 1), (50, 3, 7), (40, 200, 3), (30, 50, 90)])
def test_similarity_holds_for_every_shape(n, d, e):
    x, y = gaussian(n, d), gaussian(n, e, seed=1)
    np.testing.assert_allclose(procrustes_similarity(x, y), exact(x, y), rtol=2e-6)


@parametrize("decay", [0.5, 1.0, 2.3])
def test_the_many_small_singular_values_count(decay):
    # Products fall to 1e-10 of the largest; squared, all but the first would be lost.
    spectrum = np.arange(1, 151.0) ** -decay
    x = (rotation(150, 0) * spectrum) @ rotation(150, 1)
    y = (rotation(150, 2) * spectrum) @ rotation(150, 3)
    np.testing.assert_allclose(procrustes_similarity(x, y), exact(x, y), rtol=3e-6)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.floats(-60, 60))
def test_rotation_scale_shift_padding_and_order_change_nothing(seed, exponent):
    x, y = gaussian(60, 8, seed), gaussian(60, 8, seed) + gaussian(60, 8, seed + 1)
    order = np.random.default_rng(seed).permutation(60)
    moved = 2.0**exponent * (x.astype(np.float64) @ rotation(8, seed) + 5)
    padded = np.concatenate([moved, np.zeros((60, 8))], axis=1)
    found = procrustes_similarity(padded[order], y[order])
    np.testing.assert_allclose(found, procrustes_similarity(x, y), rtol=2e-6)


def test_similarity_is_what_the_best_rotation_leaves():
    x, y = unit(NASTY["plain"]), unit(OTHER)
    left, _, right = np.linalg.svd(x.T @ y)
    rest = np.sum((x @ left @ right - y) ** 2)
    np.testing.assert_allclose(procrustes_similarity(x, y), 1 - rest / 2, rtol=1e-6)


def test_a_stretched_space_is_not_the_same():
    x = NASTY["plain"]
    assert procrustes_similarity(x, x * np.arange(1, 21)) < 0.95


def test_unrelated_white_spaces_give_the_documented_floor():
    n, p = 2000, 100
    found = procrustes_similarity(gaussian(n, p), gaussian(n, p, seed=1))
    np.testing.assert_allclose(found, 8 / (3 * np.pi) * np.sqrt(p / n), rtol=0.02)


@pytest.mark.parametrize("other", ["plain", "constant"])
def test_a_constant_space_gives_nan(other):
    assert np.isnan(procrustes_similarity(NASTY["constant"], NASTY[other]))


def test_the_matrix_is_that_of_the_pairs():
    spaces = [gaussian(40, d, seed=d) for d in (2, 60, 90)]
    found = procrustes_matrix(spaces)
    np.testing.assert_allclose(found, [[exact(x, y) for y in spaces] for x in spaces], rtol=2e-6)
    np.testing.assert_array_equal(np.diagonal(found), 1)
    np.testing.assert_array_equal(found, found.T)


def test_a_constant_space_is_a_row_and_a_column_of_nan():
    found = procrustes_matrix([gaussian(), NASTY["constant"], OTHER])
    undefined = np.eye(3, dtype=bool)[1]
    np.testing.assert_array_equal(np.isnan(found), undefined | undefined[:, None])


@parametrize("d", [50, 4])
def test_similarity_is_vmapped_and_jitted_as_looped(d):
    xs = np.stack([gaussian(30, d, seed) for seed in range(3)])
    ys = xs[::-1, :, :3]
    looped = [procrustes_similarity(x, y) for x, y in zip(xs, ys, strict=True)]
    found = jax.jit(jax.vmap(procrustes_similarity))(xs, ys)
    np.testing.assert_allclose(found, looped, rtol=2e-6)


@pytest.mark.parametrize(("n", "d"), [(9000, 40), (400, 9000)])
def test_nothing_larger_than_the_input_is_formed(n, d):
    # QR holds the factored input and one scalar for each column beside it.
    shapes = [((n, d), jnp.float32)] * 2
    assert largest_array(procrustes_similarity, *shapes) <= n * d + d


def test_bad_input_is_refused():
    x = gaussian(10)
    with pytest.raises(ValueError, match="at least one space"):
        procrustes_matrix([])
    with pytest.raises(ValueError, match="same number of points"):
        procrustes_similarity(x, gaussian(11))
    with pytest.raises(ValueError, match="at least 2 points"):
        procrustes_similarity(x[:1], x[:1])
    with pytest.raises(ValueError, match="real numbers"):
        procrustes_similarity(x, x.astype(complex))
    with pytest.raises(ValueError, match="row 3"):
        procrustes_similarity(x, np.where(np.arange(10)[:, None] == 3, np.nan, x))
