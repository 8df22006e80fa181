import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.metrics.latents import active_units, latent_types
from tests import reference


def test_active_units_are_those_whose_mean_varies_by_more_than_the_threshold():
    scales = np.array([0.0, 0.09, 0.11, 1.0])
    signs = np.where(np.arange(100) % 2, 1.0, -1.0)[:, None]
    means = (scales * signs).astype(np.float32)  # variances 0, 0.0081, 0.0121 and 1
    np.testing.assert_array_equal(active_units(means), [False, False, True, True])
    np.testing.assert_array_equal(active_units(means, threshold=0.5), [False] * 3 + [True])


def test_the_variance_divides_by_the_number_of_examples():
    means = np.array([[0.0], [1.0]])
    np.testing.assert_array_equal(active_units(means, threshold=0.24), [True])
    np.testing.assert_array_equal(active_units(means, threshold=0.26), [False])


@pytest.mark.parametrize("constant", [0.1, 1e8 / 3, -1e20])
def test_a_constant_latent_is_never_active_whatever_its_value(constant):
    assert not active_units(np.full((1001, 1), constant, np.float32)).any()


def test_a_latent_with_nan_is_not_active():
    means = np.array([[0.0, 0.0], [np.nan, 1.0]], np.float32)
    np.testing.assert_array_equal(active_units(means), [False, True])


def test_jit_equals_the_call():
    means = jax.random.normal(jax.random.key(0), (50, 6)) * jnp.array([0.0, 1, 0, 1, 0.01, 2])
    np.testing.assert_array_equal(jax.jit(active_units)(means), active_units(means))


@pytest.mark.parametrize("shape", [(5,), (1, 5), (4, 5, 6)])
def test_means_that_are_no_table_of_examples_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected means \[n >= 2, k\], got shape"):
        active_units(np.ones(shape))


def types_of(variances):
    """0 active, 1 mixed, 2 passive, in float64, one latent at a time."""
    found = []
    for column in np.asarray(variances, np.float64).T:
        if column.var() < 0.1 and column.mean() <= 0.1:
            found.append(0)
        else:
            found.append(2 if column.var() < 0.1 and abs(column.mean() - 1) <= 0.1 else 1)
    return np.array(found)


def assert_are(types, expected):
    for number, mask in enumerate(types):
        np.testing.assert_array_equal(mask, expected == number)


def test_latents_are_active_mixed_and_passive_by_mean_and_spread_of_their_variance():
    half = np.arange(100) % 2
    columns = [0.01, 1.0, half, 0.5, 0.2, 1.3, 0.02 + 0.1 * half, 0.95 + 0.1 * half, 5 * half]
    variances = np.stack([np.broadcast_to(column, 100) for column in columns], axis=1)
    types = latent_types(variances)
    assert_are(types, np.array([0, 2, 1, 1, 1, 1, 0, 2, 1]))
    assert_are(types, types_of(variances))


@pytest.mark.parametrize(("constant", "kind"), [(0.1, 0), (0.1001, 1), (0.9, 2), (1.1, 2), (0, 0)])
def test_the_limits_belong_to_the_pure_types(constant, kind):
    assert_are(latent_types(np.full((1001, 1), constant)), np.array([kind]))


def test_every_latent_is_of_one_type():
    generator = np.random.default_rng(0)
    variances = generator.gamma(generator.uniform(0.1, 3, 200), size=(50, 200))
    types = latent_types(variances)
    np.testing.assert_array_equal(np.sum(types, axis=0), 1)
    assert_are(types, types_of(variances))


def test_a_latent_with_nan_is_of_no_type_and_one_with_infinity_mixed():
    types = latent_types(np.array([[0.0, 0.0, 1.0], [np.nan, np.inf, 1.0]]))
    np.testing.assert_array_equal(np.sum(types, axis=0), [0, 1, 1])
    np.testing.assert_array_equal(types.mixed, [False, True, False])


def test_vmap_and_jit_equal_the_call():
    variances = np.random.default_rng(0).gamma(np.linspace(0.1, 3, 8), size=(3, 50, 8))
    found = jax.jit(jax.vmap(latent_types))(variances)
    for place, alone in enumerate(variances):
        np.testing.assert_array_equal([mask[place] for mask in found], latent_types(alone))


def test_negative_variances_are_refused():
    with pytest.raises(ValueError, match=r"expected variances >= 0, got -2.0; pass jnp.exp of log"):
        latent_types(np.array([[0.1], [-2.0]]))


@pytest.mark.parametrize("shape", [(5,), (1, 5), (4, 5, 6)])
def test_variances_that_are_no_table_of_examples_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected variances \[n >= 2, k\], got shape"):
        latent_types(np.ones(shape))


@pytest.mark.parametrize("case", reference.cases("polarised"))
def test_the_types_are_those_of_the_reference(case):
    inputs, expected = reference.load(case)
    types = latent_types(inputs["variances"])
    assert_are(types, expected["labels"])
    counts = [int(mask.sum()) for mask in types]
    reference.assert_close(case, "counts", counts, expected["counts"])
    active = active_units(inputs["means"]).sum()
    reference.assert_close(case, "active_units", active, expected["active_units"])
