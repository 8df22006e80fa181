"""DIP-VAE I and II against reference values and the definition of their penalty."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.objectives import beta_vae, dip_penalty, dip_vae_i, dip_vae_ii
from tests.objectives.losses import assert_reference, reference_cases
from tests.objectives.outputs import draw
from tests.reference import load


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("case", reference_cases("dip"))
def test_penalties_are_those_of_the_reference(case, double):
    inputs, expected = load(case)
    with jax.enable_x64(double):
        dtype = jnp.float64 if double else jnp.float32
        mean, log_variance = (jnp.asarray(inputs[name], dtype) for name in ("mean", "log_var"))
        outputs = draw(batch=len(mean))
        outputs = outputs._replace(mean=mean, log_variance=log_variance)
        actual = {}
        for off, factor in case["parameters"]["lambda_od_and_factor"]:
            weights = {"off_diagonal": off, "diagonal": off * factor}
            for kind, objective in (("i", dip_vae_i), ("ii", dip_vae_ii)):
                _, terms = objective(outputs, **weights)
                actual[f"dip_{kind}_{off:g}_{factor:g}"] = np.asarray(terms.penalty)
    assert_reference(case, actual, expected, double=double)


def test_the_penalty_is_zero_for_the_identity_and_a_weighted_sum_of_squares_else():
    weights = {"off_diagonal": 3.0, "diagonal": 0.5}
    assert dip_penalty(jnp.eye(5), **weights) == 0
    covariance = np.array([[2.0, 0.5], [0.5, 0.0]])
    expected = 3 * 2 * 0.5**2 + 0.5 * (1 + 1)
    np.testing.assert_allclose(dip_penalty(jnp.asarray(covariance), **weights), expected)


@pytest.mark.parametrize(("objective", "factor"), [(dip_vae_i, 10), (dip_vae_ii, 1)])
def test_the_diagonal_has_the_weight_of_the_paper_by_default(objective, factor):
    outputs = draw()
    default, terms = objective(outputs, off_diagonal=2.0)
    given, _ = objective(outputs, off_diagonal=2.0, diagonal=2.0 * factor)
    assert default == given
    plain, _ = beta_vae(outputs)
    np.testing.assert_allclose(default, plain + terms.penalty, rtol=1e-6)


@pytest.mark.parametrize("objective", [dip_vae_i, dip_vae_ii])
def test_weights_may_be_a_batch(objective):
    outputs = draw()

    def loss(weight):
        return objective(outputs, off_diagonal=weight)[0]

    weights = jnp.array([1.0, 20.0])
    np.testing.assert_allclose(jax.vmap(loss)(weights), [loss(w) for w in weights], rtol=1e-6)


@pytest.mark.parametrize("objective", [dip_vae_i, dip_vae_ii])
def test_no_array_is_broadcast_to_more_axes(objective):
    with jax.numpy_rank_promotion("raise"):
        jax.eval_shape(partial(objective, off_diagonal=1.0), draw())


def test_the_penalty_is_that_of_float64_beside_large_variances():
    random = np.random.default_rng(0)
    for _ in range(50):
        noise = 0.01 * random.standard_normal((32, 32))
        covariance = np.asarray(noise + noise.T + np.diag(random.uniform(1, 1e3, 32)), np.float32)
        between = covariance.astype(np.float64) - np.diag(np.diag(covariance))
        penalty = dip_penalty(covariance, off_diagonal=1.0, diagonal=0.0)
        np.testing.assert_allclose(penalty, np.sum(between**2), rtol=1e-5)


@pytest.mark.parametrize("objective", [dip_vae_i, dip_vae_ii])
def test_absent_latents_leave_the_loss_in_float32(objective):
    with jax.enable_x64(True):
        outputs = draw()._replace(present=jnp.array([True, True, False]))
        loss, _ = objective(outputs, off_diagonal=1.0)
    assert loss.dtype == jnp.float32
