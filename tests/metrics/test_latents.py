import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.metrics import active_units


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
