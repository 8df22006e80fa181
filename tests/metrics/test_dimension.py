import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvae.metrics import two_nn, two_nn_mle
from tests import oracles, reference
from tests.clouds import NASTY, WIDTH, N, clusters, gaussian, of_width, rotation
from tests.memory import largest_array

ESTIMATES = [(two_nn, oracles.two_nn), (two_nn_mle, oracles.two_nn_mle)]
# A log ratio is a difference of two distances known to 1e-6; its mean over the points,
# near 1 / dimension, is known better than that.
RTOL = 1e-5
# Lattices have no dimension; a constant has too few points; "hidden steps" are lattices too.
UNDEFINED = {"grid 0.1", "constant", "many duplicates", "hidden steps"}


@pytest.mark.parametrize(("estimate", "oracle"), ESTIMATES)
@pytest.mark.parametrize("name", [name for name in NASTY if name not in UNDEFINED])
def test_the_dimension_is_that_of_the_definition_in_nasty_clouds(name, estimate, oracle):
    cloud = NASTY[name]
    found = estimate(cloud)
    np.testing.assert_allclose(found.value, oracle(cloud), rtol=RTOL)
    assert found.points == len(np.unique(oracles.flat(cloud), axis=0))


@pytest.mark.parametrize("d", [1, 3, 50, 784])
def test_the_dimension_is_that_of_the_definition_for_every_width(d):
    cloud = of_width(d)
    np.testing.assert_allclose(two_nn(cloud).value, oracles.two_nn(cloud), rtol=RTOL)


@pytest.mark.parametrize("separation", [2, 10, 100])
def test_tight_clusters_far_apart_keep_their_dimension(separation):
    cloud = clusters(separation, d=3)
    np.testing.assert_allclose(two_nn(cloud).value, oracles.two_nn(cloud), rtol=RTOL)


@pytest.mark.parametrize("discard", [0, 0.1, 0.5, 0.8, 0.9])
def test_the_largest_ratios_are_discarded(discard):
    cloud = gaussian()
    found, expected = two_nn(cloud, discard=discard), oracles.two_nn(cloud, discard)
    np.testing.assert_allclose(found.value, expected, rtol=RTOL)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_uniform_cube_has_its_dimension(d):
    cloud = np.random.default_rng(0).random((1500, d)).astype(np.float32)
    found = two_nn(cloud)
    # Three wider standard errors, and the boundary lowers the estimate by a few percent.
    assert abs(found.value - d) < 3 * 1.2 * found.stderr + 0.04 * d


def test_an_embedding_in_more_dimensions_keeps_the_dimension():
    plane = np.random.default_rng(0).random((1500, 2))
    embedding = np.linalg.qr(gaussian(20, 20).astype(np.float64))[0][:2]
    flat, embedded = two_nn(plane.astype(np.float32)), two_nn(plane @ embedding)
    np.testing.assert_allclose(embedded.value, flat.value, rtol=1e-4)


def test_repeated_rows_are_counted_once():
    cloud = gaussian(N // 3)
    repeated = two_nn(NASTY["exact duplicates"])
    assert repeated.points == N // 3
    np.testing.assert_allclose(repeated.value, oracles.two_nn(cloud), rtol=RTOL)


def test_rows_that_differ_by_the_sign_of_zero_are_repetitions():
    cloud = gaussian(N // 2)
    cloud[:, 4] = 0
    mirrored = cloud.copy()
    mirrored[:, 4] = -0.0
    found = two_nn(np.concatenate([cloud, mirrored]))
    assert found.points == N // 2
    np.testing.assert_allclose(found.value, oracles.two_nn(cloud), rtol=RTOL)


def test_a_ratio_whose_square_overflows_is_a_ratio():
    cloud = gaussian()
    cloud[0], cloud[1] = 0, 0
    cloud[1, 0] = 1e-25
    # With nothing discarded the two largest ratios, 1e25, take part.
    found, expected = two_nn(cloud, discard=0), oracles.two_nn(cloud, 0)
    np.testing.assert_allclose(found.value, expected, rtol=RTOL)
    np.testing.assert_allclose(two_nn_mle(cloud).value, oracles.two_nn_mle(cloud), rtol=RTOL)


@pytest.mark.parametrize("estimate", [two_nn, two_nn_mle])
@pytest.mark.parametrize(
    ("cloud", "points"),
    [
        (NASTY["constant"], 1),
        (np.tile(gaussian(2), (N // 2, 1)), 2),
        (np.eye(N, dtype=np.float32), N),
    ],
    ids=["constant", "two distinct", "simplex"],
)
def test_the_dimension_is_nan_where_it_is_undefined(estimate, cloud, points):
    found = estimate(cloud)
    assert jnp.isnan(found.value)
    assert jnp.isnan(found.stderr)
    assert found.points == points


def test_a_lattice_has_no_dimension_where_its_ends_are_discarded():
    line = np.arange(N, dtype=np.float32)[:, None] * np.ones((1, WIDTH), np.float32)
    assert jnp.isnan(two_nn(line).value)
    # Its two ends alone have a ratio, of 2.
    np.testing.assert_allclose(two_nn_mle(line).value, (N - 1) / np.log(4), rtol=RTOL)


@pytest.mark.parametrize(("estimate", "oracle"), ESTIMATES)
def test_three_points_suffice(estimate, oracle):
    cloud = np.array([[0.0], [1.0], [3.0]])
    np.testing.assert_allclose(estimate(cloud).value, oracle(cloud), rtol=RTOL)


def test_the_error_of_the_maximum_likelihood_is_its_closed_form():
    found = two_nn_mle(gaussian())
    np.testing.assert_allclose(found.stderr, found.value / np.sqrt(N - 2), rtol=1e-6)


def test_with_little_discarded_the_error_of_the_fit_nears_its_limit():
    # With all N ratios the fit weighs them by -log(1 - i/N), of which the relative error
    # follows from the definition: sd of sum y_i E_(i) over sum y_i^2, by simulation.
    generator, count = np.random.default_rng(0), N
    y = -np.log(1 - np.arange(1, 271) / count)
    draws = np.sort(generator.exponential(size=(20_000, count)), axis=1)[:, :270]
    simulated = np.std(draws @ y) / np.sum(y * y)
    found = two_nn(gaussian())
    # 20,000 draws give a standard deviation to 0.5%.
    np.testing.assert_allclose(found.stderr / found.value, simulated, rtol=0.02)


@pytest.mark.slow
def test_the_standard_error_is_the_spread_over_clouds_but_for_shared_distances():
    # Called one by one, small clouds are measured on the host, where nothing is compiled.
    found = [two_nn(gaussian(500, 5, seed)) for seed in range(200)]
    spread = np.std([float(dimension.value) for dimension in found])
    claimed = np.mean([float(dimension.stderr) for dimension in found])
    # The documented factor is 1.2; 200 clouds give a spread to 5%.
    assert 1.05 < spread / claimed < 1.35


properties = settings(max_examples=8, deadline=None, derandomize=True)


@properties
@given(st.integers(0, 1000), st.floats(-25, 25), st.floats(-1e3, 1e3))
def test_scale_shift_and_rotation_change_nothing(seed, exponent, shift):
    cloud = gaussian(seed=seed).astype(np.float64)
    moved = two_nn(10**exponent * (cloud @ rotation(seed=seed + 1) + shift))
    np.testing.assert_allclose(moved.value, oracles.two_nn(cloud), rtol=RTOL)


def test_the_jitted_vmap_equals_the_loop():
    names = ["plain", "ten clusters", "grid", "constant", "exact duplicates", "near duplicates"]
    found = jax.jit(jax.vmap(two_nn))(jnp.stack([jnp.asarray(NASTY[name]) for name in names]))
    for place, name in enumerate(names):
        expected = two_nn(NASTY[name])
        np.testing.assert_allclose([f[place] for f in found], expected, rtol=RTOL)


@pytest.mark.parametrize("discard", [-0.1, 1, 2, float("nan")])
def test_a_share_that_is_none_is_refused(discard):
    with pytest.raises(ValueError, match="expected 0 <= discard < 1"):
        two_nn(gaussian(), discard=discard)


@pytest.mark.parametrize("estimate", [two_nn, two_nn_mle])
def test_fewer_than_three_points_are_refused(estimate):
    with pytest.raises(ValueError, match="expected at least 3 points, got 2"):
        estimate(gaussian(2))


@pytest.mark.parametrize("estimate", [two_nn, two_nn_mle])
def test_nan_is_refused(estimate):
    with pytest.raises(ValueError, match="NaN or infinity in row 2"):
        estimate(np.array([[1.0], [2.0], [np.nan], [3.0]]))


@pytest.mark.parametrize("case", reference.cases("twonn"))
def test_the_dimension_is_that_of_the_reference(case):
    inputs, expected = reference.load(case)
    fit, likelihood = two_nn(inputs["x"]), two_nn_mle(inputs["x"])
    reference.assert_close(case, "twonn_fit", fit.value, expected["twonn_fit"])
    reference.assert_close(case, "twonn_ml", likelihood.value, expected["twonn_ml"])
    reference.assert_close(case, "n_used", fit.points, expected["n_used"])


def test_a_thousand_clouds_at_once_need_the_memory_of_a_block():
    clouds = ((1000, 500, 10), jnp.float32)
    # The input has 5 million entries, all distances together 250 million.
    assert largest_array(jax.vmap(two_nn), clouds) < 2**24
