"""Where trainings of linear-Gaussian hierarchies end, which theory says."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from jaxvae.metrics import water_filling
from jaxvae.objectives import (
    distortion_target,
    gaussian_kl_between,
    hierarchical_vae,
    rate_targets,
)
from jaxvae.training import Member, init_ensemble, take_member, train_ensemble, vae_trainer
from tests.objectives.linear_hierarchies import (
    BATCH,
    NOISE,
    adam,
    epochs_of,
    problem,
    rates_and_error,
    trained,
)

pytestmark = pytest.mark.slow
TARGETS = (0.7, 0.3)


# --- betas that are given -------------------------------------------------------------


EIGENVALUES = [8.0, 4.0, 2.0, 1.0]
BETAS = (1.0, 3.0, 4.0, 16.0)


@pytest.fixture(scope="module")
def one_layer():
    """One linear layer, and what it learned with each beta: an ensemble."""
    task, steps = problem(EIGENVALUES, (4,)), 4000
    trainer = vae_trainer(
        task.hvae, hierarchical_vae, adam(steps), coefficients={"beta": jnp.ones(1)}
    )
    members = [Member(jax.random.key(0), task.hvae.latents, {"beta": [beta]}) for beta in BETAS]
    start = init_ensemble(lambda latents: trainer, members)
    settings = {"epochs": epochs_of(steps), "batch_size": BATCH}
    ensemble = train_ensemble(trainer, start, task.images, way="vmap", **settings)
    learned = {
        beta: take_member(ensemble, index, trainer).variables for index, beta in enumerate(BETAS)
    }
    return task, learned


@pytest.mark.parametrize("beta", BETAS)
def test_one_linear_layer_fills_the_water_as_theory_says(beta, one_layer):
    task, learned = one_layer
    rates, error = rates_and_error(task, learned[beta])
    expected = water_filling(jnp.array(EIGENVALUES), level=beta * NOISE)
    assert rates.sum() == pytest.approx(float(expected.rate), rel=0.01, abs=0.01)
    assert error == pytest.approx(float(expected.distortion), rel=0.01)


def test_what_collapses_is_known_before_training_from_the_eigenvalues_of_the_data(one_layer):
    (task, learned), beta = one_layer, 3.0
    pixels = task.images.reshape(len(task.images), -1) / 255 / task.scale
    eigenvalues = np.linalg.eigvalsh(np.cov(pixels.T))
    # Reverse water-filling spends no rate on a direction below the level.
    predicted = int((eigenvalues > beta * NOISE).sum())
    assert predicted == 3
    images = jnp.asarray(task.images) / 255
    noise = jnp.zeros((len(images), task.hvae.latents))
    posterior, prior, _ = task.hvae.apply(learned[beta], images, noise).layers[0]
    rates = np.sort(np.mean(gaussian_kl_between(*posterior, *prior), axis=0))[::-1]
    np.testing.assert_allclose(rates[:3], np.log(np.array([8, 4, 2]) / 1.5) / 2, atol=0.02)
    assert rates[3] < 0.005


def optimum(eigenvalues, widths, *, steps):
    """Of two layers, of which the upper one is cheaper."""
    task = problem(eigenvalues, widths)
    objective = partial(hierarchical_vae, beta=jnp.array([0.5, 1.0]))
    return rates_and_error(task, trained(task, objective, steps=steps).variables)


def test_of_two_wide_layers_the_cheaper_one_gets_all_the_rate():
    rates, error = optimum([4.0], (1, 1), steps=10_000)
    assert rates[0] == pytest.approx(np.log(4), rel=0.01)
    assert rates[1] == pytest.approx(0, abs=0.02)
    assert error == pytest.approx(0.25, rel=0.02)


def test_a_narrow_top_takes_the_largest_direction_and_leaves_the_rest():
    rates, error = optimum([8.0, 2.0], (1, 2), steps=6000)
    np.testing.assert_allclose(rates, [2.5 * np.log(2), np.log(2)], rtol=0.01)
    assert error == pytest.approx(0.75, rel=0.02)


# --- rates and errors that are asked for ----------------------------------------------


def rates_over_steps(penalties, steps=12_000):
    """Of two layers that may split the rate as they like, every step on the same images."""
    task = problem([4.0], (1, 1))
    images = jnp.asarray(task.images[:512])
    trainer = vae_trainer(
        task.hvae,
        rate_targets,
        optax.adam(1e-2),
        coefficients={"targets": TARGETS, "beta": (1.0, 1.0), "penalty": 0.0},
        multipliers={"beta": 1e-3},
    )

    def step(state, _):
        state, _, terms = trainer.step(state, images)
        return state, terms.rates

    @jax.jit
    @jax.vmap
    def run(penalty):
        state = trainer.init(jax.random.key(0))
        state = state._replace(coefficients={**state.coefficients, "penalty": penalty})
        return lax.scan(step, state, None, length=steps)[1]

    return np.asarray(run(jnp.array(penalties)))


def test_interior_targets_are_met_and_do_not_chatter_as_betas_alone_do():
    # Means of 100 steps, from the middle of training on: what is left is no noise.
    late = [rates[6000:].reshape(-1, 100, 2).mean(axis=1) for rates in rates_over_steps((0.0, 0.2))]
    alone, with_penalty = (abs(means - TARGETS).max() for means in late)
    assert with_penalty < 0.02
    assert alone > 0.08


def test_one_layer_meets_its_target_at_the_beta_and_the_error_of_theory():
    target, task = 2.0, problem(EIGENVALUES, (4,))
    state = trained(
        task,
        rate_targets,
        steps=4000,
        coefficients={"targets": (target,), "beta": (1.0,)},
        multipliers={"beta": 1e-3},
    )
    rates, error = rates_and_error(task, state.variables)
    beta = float(state.coefficients["beta"][0])
    # ln(8 / w) / 2 + ln(4 / w) / 2 + ln(2 / w) / 2 = 2 at this level w, which is above 1.
    level = (8 * 4 * 2 / np.exp(2 * target)) ** (1 / 3)
    expected = water_filling(jnp.array(EIGENVALUES), level=level)
    assert float(expected.rate) == pytest.approx(target, rel=1e-5)
    assert rates[0] == pytest.approx(target, rel=0.01)
    assert beta == pytest.approx(level / NOISE, rel=0.02)
    assert error == pytest.approx(float(expected.distortion), rel=0.01)


def test_a_distortion_is_met_at_the_rate_of_theory():
    level, task = 1.0, problem(EIGENVALUES, (4,))
    expected = water_filling(jnp.array(EIGENVALUES), level=level)
    constant = 2 * np.log(2 * np.pi * NOISE * task.scale**2)
    target = float(expected.distortion) / (2 * NOISE) + constant
    state = trained(
        task,
        distortion_target,
        steps=10_000,
        coefficients={"target": target, "weight": 1.0},
        multipliers={"weight": 1e-2},
    )
    rates, error = rates_and_error(task, state.variables)
    assert error == pytest.approx(float(expected.distortion), rel=0.01)
    assert rates[0] == pytest.approx(float(expected.rate), rel=0.01)
    assert 1 / float(state.coefficients["weight"]) == pytest.approx(level / NOISE, rel=0.03)
