import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvae.metrics.rate_distortion import water_filling
from tests import reference

SPECTRUM = np.array([8.0, 4.0, 2.0, 1.0])
RTOL = 1e-6


def definition(eigenvalues, level):
    rates = [0.5 * np.log(max(1.0, value / level)) for value in eigenvalues]
    return sum(rates), sum(min(value, level) for value in eigenvalues), rates


def assert_is(found, expected):
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=RTOL, atol=1e-6)


@pytest.mark.parametrize(
    ("beta", "rate", "distortion"), [(1, 5 * np.log(2), 2), (4, 1.5 * np.log(2), 7), (16, 0, 15)]
)
def test_the_optimum_is_the_known_one(beta, rate, distortion):
    found = water_filling(SPECTRUM, level=0.5 * beta)
    np.testing.assert_allclose(found.rate, rate, rtol=RTOL)
    np.testing.assert_allclose(found.distortion, distortion, rtol=RTOL)


def test_no_other_code_has_less_distortion_plus_level_times_rate():
    # A code of error e per direction costs log(value / e) / 2 nats; the optimum weighs
    # one nat as 2 w, since dD/dR = -2 w above the water.
    level, generator = 1.7, np.random.default_rng(0)
    found = water_filling(SPECTRUM, level=level)
    optimum = found.distortion + 2 * level * found.rate
    for _ in range(200):
        errors = SPECTRUM * generator.random(4)
        cost = errors.sum() + 2 * level * np.sum(np.log(SPECTRUM / errors) / 2)
        assert optimum <= cost + 1e-5


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1e6), min_size=5, max_size=5), st.floats(1e-6, 1e6))
def test_rate_and_distortion_are_those_of_the_definition(eigenvalues, level):
    assert_is(water_filling(np.array(eigenvalues), level=level), definition(eigenvalues, level))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.floats(-50, 30), st.permutations(list(range(4))))
def test_scale_and_order_change_the_distortion_and_the_order_alone(exponent, order):
    scale = 10.0**exponent
    found = water_filling(scale * SPECTRUM[order], level=scale * 1.5)
    expected = water_filling(SPECTRUM, level=1.5)
    np.testing.assert_allclose(found.rate, expected.rate, rtol=RTOL)
    np.testing.assert_allclose(found.rates, expected.rates[np.array(order)], rtol=RTOL)
    np.testing.assert_allclose(found.distortion, scale * expected.distortion, rtol=RTOL, atol=1e-37)


def test_a_level_at_the_largest_eigenvalue_costs_nothing():
    found = water_filling(SPECTRUM, level=8.0)
    assert found.rate == 0
    assert found.distortion == 15


def test_a_rate_near_zero_keeps_its_accuracy():
    found = water_filling(np.array([1e-30 * (1 + 1e-4)]), level=1e-30)
    np.testing.assert_allclose(found.rate, 0.5 * np.log1p(1e-4), rtol=2e-3)


def test_constant_directions_cost_nothing():
    found = water_filling(np.array([8.0, 0.0, 0.0]), level=2.0)
    np.testing.assert_allclose(found.rates, [np.log(2), 0, 0], rtol=RTOL)
    assert found.distortion == 2


def test_derivatives_are_those_of_the_definition_also_at_zero_eigenvalues():
    def part(name):
        return lambda spectrum, level: getattr(water_filling(spectrum, level=level), name)

    spectrum, level = jnp.array([8.0, 4.0, 1.0, 0.0, 0.0]), 2.0
    by_spectrum, by_level = jax.grad(part("rate"), argnums=(0, 1))(spectrum, level)
    np.testing.assert_allclose(by_spectrum, [1 / 16, 1 / 8, 0, 0, 0], rtol=RTOL)
    np.testing.assert_allclose(by_level, -2 / 4, rtol=RTOL)
    by_spectrum, by_level = jax.grad(part("distortion"), argnums=(0, 1))(spectrum, level)
    np.testing.assert_allclose(by_spectrum, [0, 0, 1, 1, 1], rtol=RTOL)
    np.testing.assert_allclose(by_level, 2, rtol=RTOL)


def test_a_variance_above_the_largest_float32_has_a_rate_at_a_traced_level():
    found = jax.jit(lambda level: water_filling(np.array([1e60, 0.5]), level=level))(1.0)
    assert_is(found, definition([1e60, 0.5], 1.0))


def test_ratios_above_the_largest_float32_have_a_rate():
    found = water_filling(np.array([1e30]), level=1e-30)
    np.testing.assert_allclose(found.rate, 30 * np.log(10), rtol=RTOL)
    traced = jax.jit(lambda value, level: water_filling(value, level=level))
    np.testing.assert_allclose(traced(jnp.array([1e30]), 1e-30).rate, found.rate, rtol=RTOL)


def test_ratios_whose_root_is_above_the_largest_float32_have_a_rate():
    assert_is(water_filling(np.array([1e80, 1e-80]), level=1.0), definition([1e80, 1e-80], 1.0))


def test_a_distortion_above_the_largest_float32_is_refused():
    with pytest.raises(ValueError, match="expected distortions below the largest float32"):
        water_filling(np.full(4, 1e38), level=2e38)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int32, np.uint8, bool, jnp.bfloat16])
def test_eigenvalues_of_every_kind_are_taken(kind):
    expected = water_filling(np.ones(3), level=0.25)
    assert_is(water_filling(jnp.ones(3).astype(kind), level=0.25), expected)
    assert_is(water_filling(np.ones(3).astype(kind), level=0.25), expected)


def test_vmap_equals_the_loop():
    levels = jnp.array([0.1, 0.5, 3.0, 20.0])
    found = jax.vmap(lambda level: water_filling(SPECTRUM, level=level))(levels)
    for place, level in enumerate(levels):
        assert_is([part[place] for part in found], water_filling(SPECTRUM, level=level))


def test_one_shape_is_traced_once():
    traces = 0

    @jax.jit
    def counted(eigenvalues, level):
        nonlocal traces
        traces += 1
        return water_filling(eigenvalues, level=level)

    for level in (0.5, 1.0, 2.0):
        assert_is(counted(jnp.asarray(SPECTRUM), level), definition(SPECTRUM, level))
    assert traces == 1


@pytest.mark.parametrize("bad", [-1e-9, np.nan, np.inf])
def test_eigenvalues_that_are_no_variances_are_refused(bad):
    with pytest.raises(ValueError, match=f"expected eigenvalues >= 0 and finite, got {bad}"):
        water_filling(np.array([1.0, bad]), level=1.0)


@pytest.mark.parametrize("shape", [(), (0,), (2, 2)])
def test_eigenvalues_that_are_no_list_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected eigenvalues \[d\], got shape"):
        water_filling(np.ones(shape), level=1.0)


@pytest.mark.parametrize("level", [0, -1.0, np.nan, np.inf])
def test_a_level_that_is_not_positive_is_refused(level):
    with pytest.raises(ValueError, match=f"expected a finite level > 0, got {level}"):
        water_filling(SPECTRUM, level=level)


def test_several_levels_are_refused():
    with pytest.raises(ValueError, match=r"expected one level, got shape \(2,\); use vmap"):
        water_filling(SPECTRUM, level=np.ones(2))


CASES = [case for case in reference.cases("hierarchical") if "betas" in case.values[0]["inputs"]]


@pytest.mark.parametrize("case", CASES)
def test_the_optimum_is_that_of_the_reference(case):
    inputs, expected = reference.load(case)
    levels = case["parameters"]["sigma2"] * inputs["betas"]
    found = [water_filling(inputs["eigenvalues"], level=level) for level in levels]
    table = np.array([[f.rate, f.distortion] for f in found])
    reference.assert_close(case, "table", table, expected["table"][:, :2])
    rates = np.array([f.rates for f in found])
    reference.assert_close(case, "rate_per_direction", rates, expected["rate_per_direction"])
