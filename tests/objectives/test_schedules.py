"""Coefficients that change with the step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.objectives import linear_ramp


@pytest.mark.parametrize(("step", "value"), [(0, 0.0), (3, 1.2), (10, 4.0), (11, 4.0)])
def test_a_ramp_grows_evenly_to_its_end_and_stays(step, value):
    np.testing.assert_allclose(linear_ramp(step, end=4.0, steps=10), value, rtol=1e-6)


def test_a_ramp_of_no_steps_is_at_its_end():
    assert linear_ramp(0, end=4.0, steps=0) == 4.0


def test_every_layer_has_a_ramp_of_its_own():
    ends, steps = jnp.array([2.0, 3.0]), np.array([4, 1])
    ramp = jax.jit(lambda step: linear_ramp(step, end=ends, steps=steps))
    np.testing.assert_allclose(ramp(1), [0.5, 3.0], rtol=1e-6)
    np.testing.assert_allclose(ramp(8), ends, rtol=1e-6)
