"""The annealed VAE and its schedule against reference values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.objectives import annealed_vae, beta_vae, capacity_penalty, linear_ramp
from tests.objectives.losses import assert_reference, reference_cases
from tests.objectives.outputs import draw
from tests.reference import load


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("case", reference_cases("annealed"))
def test_values_are_those_of_the_reference(case, double):
    inputs, expected = load(case)
    parameters = case["parameters"]
    with jax.enable_x64(double):
        kl = jnp.asarray(inputs["kl"], jnp.float64 if double else jnp.float32)
        ramp = {"end": parameters["c_max"], "steps": parameters["threshold"]}
        capacity = jnp.stack([linear_ramp(int(step), **ramp) for step in inputs["step"]])
        penalty = capacity_penalty(kl, capacity=capacity, gamma=parameters["gamma"])
        actual = {"capacity": np.asarray(capacity), "penalty": np.asarray(penalty)}
    assert_reference(case, actual, expected, double=double)


def test_the_loss_is_the_reconstruction_where_the_rate_is_the_capacity():
    outputs = draw()
    _, (reconstruction, kl) = beta_vae(outputs)
    loss, terms = annealed_vae(outputs, capacity=kl, gamma=1e4)
    assert loss == reconstruction == terms.reconstruction
    assert terms.penalty == 0


@pytest.mark.parametrize("distance", [-2.0, 3.0])
def test_a_rate_away_from_the_capacity_is_pulled_back(distance):
    outputs = draw()
    kl = beta_vae(outputs)[1].kl
    loss, terms = annealed_vae(outputs, capacity=kl - distance, gamma=5.0)
    np.testing.assert_allclose(terms.penalty, 5 * abs(distance), rtol=1e-5)
    np.testing.assert_allclose(loss, terms.reconstruction + terms.penalty)


def test_a_ramp_is_zero_at_first_linear_then_constant_also_when_traced():
    steps = jnp.array([0, 25, 100, 10**9])
    ramp = jax.vmap(lambda step: linear_ramp(step, end=8.0, steps=100))(steps)
    np.testing.assert_allclose(ramp, [0, 2, 8, 8])
