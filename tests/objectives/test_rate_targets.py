"""Rates and distortions that are asked for: the Lagrangian, its betas, and where they end."""

from functools import partial
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvae.objectives import distortion_target, hierarchical_vae, rate_targets
from jaxvae.objectives.multipliers import (
    LEAST,
    MOST,
    Multiplier,
    ascend,
    objective_multipliers,
)
from jaxvae.training import Member, init_ensemble, take_member, train_ensemble, vae_trainer
from tests.models.hierarchies import chain, chain_outputs

TARGETS = (0.7, 0.3)
# One program each instead of one for every operation.
hierarchical = jax.jit(hierarchical_vae)
lagrangian = jax.jit(rate_targets)


# --- definitions ----------------------------------------------------------------------


def test_the_loss_is_the_augmented_lagrangian():
    outputs = chain_outputs(3)
    reconstruction, rates = map(np.float64, hierarchical(outputs)[1])
    targets, beta = np.array([1.0, np.nan, 0.25]), np.array([0.5, 2.0, 4.0])
    loss, terms = lagrangian(outputs, targets=targets, beta=beta, penalty=0.3)
    excess = (rates - targets)[[0, 2]]
    expected = reconstruction + beta[[0, 2]] @ excess + beta[1] * rates[1] + 0.15 * excess @ excess
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(terms.rates, rates, rtol=1e-6)
    np.testing.assert_array_equal(terms.beta, beta)


def test_the_slope_of_a_beta_is_the_distance_from_its_target():
    outputs = chain_outputs(3)
    targets = np.array([1.0, np.nan, 0.25], np.float32)

    @partial(jax.grad, has_aux=True)
    def slopes_and_terms(beta):
        return rate_targets(outputs, targets=targets, beta=beta)

    slopes, terms = jax.jit(slopes_and_terms)(np.ones(3, np.float32))
    slopes, rates = np.asarray(slopes), np.asarray(terms.rates)
    np.testing.assert_allclose(slopes[[0, 2]], (rates - targets)[[0, 2]])
    assert slopes[1] == 0


def test_the_distortion_has_a_weight_whose_slope_is_its_distance():
    outputs = chain_outputs(2)
    reconstruction, rates = map(np.float64, hierarchical(outputs)[1])
    betas = np.array([0.5, 2.0])

    def loss(weight):
        return distortion_target(outputs, target=3.0, weight=weight, beta=betas, penalty=0.1)[0]

    value, slope = jax.jit(jax.value_and_grad(loss))(2.0)
    excess = reconstruction - 3
    np.testing.assert_allclose(value, 2 * excess + 0.05 * excess**2 + betas @ rates, rtol=1e-6)
    np.testing.assert_allclose(slope, excess, rtol=1e-6)


def test_one_beta_is_that_of_every_layer():
    outputs, targets = chain_outputs(3), (1.0, np.nan, 0.25)
    for given in ({}, {"beta": 1.0}):
        found = lagrangian(outputs, targets=np.array(targets), **given)
        expected = lagrangian(outputs, targets=np.array(targets), beta=np.ones(3))
        jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("slope", [-3.0, 0.0, 0.5])
def test_a_beta_moves_in_its_logarithm(slope):
    np.testing.assert_allclose(
        ascend(jnp.float32(2), jnp.float32(slope), step=1e-3), 2 * np.exp(1e-3 * slope), rtol=1e-6
    )


def test_a_beta_moves_slowly_and_within_bounds():
    far = ascend(jnp.float32(2), jnp.float32(1e6), step=1e-3)
    np.testing.assert_allclose(far, 2 * np.exp(0.02), rtol=1e-6)
    assert ascend(jnp.float32(MOST), jnp.float32(1), step=1e-3) == np.float32(MOST)
    assert ascend(jnp.float32(LEAST), jnp.float32(-1), step=1e-3) == np.float32(LEAST)


@pytest.mark.parametrize("beta", [0.0, 5e3])
def test_a_beta_without_a_slope_stays_as_it_is(beta):
    betas = ascend(jnp.array([beta, 2.0]), jnp.array([0.0, 1.0]), step=1e-3)
    np.testing.assert_allclose(betas, [beta, 2 * np.exp(1e-3)], rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"targets": np.ones(3), "beta": np.ones(2)}, "targets for each of 2 layers"),
        ({"targets": np.ones(2), "beta": np.ones(3)}, "beta for each of 2 layers, or one for all"),
        ({"targets": np.ones(2), "beta": np.ones(1)}, "beta for each of 2 layers, or one for all"),
        ({"targets": 1.0, "beta": np.ones(2)}, "targets for each of 2 layers"),
    ],
)
def test_there_is_a_target_and_a_beta_for_every_layer(given, message):
    with pytest.raises(ValueError, match=message):
        rate_targets(chain_outputs(2), **given)


def test_types_without_a_hash_mark_no_multipliers():
    def objective(outputs, *, beta: Multiplier, width: Annotated[float, []] = 1.0):
        return beta * width

    assert objective_multipliers(objective) == {"beta": False}


# --- trained --------------------------------------------------------------------------


def lagrangian_trainer(hvae, optimizer, *, penalty=0.2, targets=TARGETS):
    return vae_trainer(
        hvae,
        rate_targets,
        optimizer,
        coefficients={"targets": targets, "beta": (1.0, 1.0), "penalty": penalty},
        multipliers={"beta": 1e-3},
    )


def test_a_step_descends_in_the_parameters_and_ascends_in_the_betas():
    hvae = chain(2)
    trainer = lagrangian_trainer(hvae, optax.sgd(0.1))
    images = jax.random.bits(jax.random.key(1), (5, *hvae.image_shape), jnp.uint8)
    state = trainer.init(jax.random.key(0))
    after, _, terms = jax.jit(trainer.step)(state, images)
    expected = np.exp(1e-3 * (np.asarray(terms.rates) - TARGETS))
    np.testing.assert_allclose(after.coefficients["beta"], expected, rtol=1e-6)
    np.testing.assert_array_equal(after.coefficients["targets"], np.float32(TARGETS))
    # At fixed betas, the parameters move as without them.
    fixed = vae_trainer(hvae, rate_targets, optax.sgd(0.1), coefficients=dict(state.coefficients))
    alone = jax.jit(fixed.step)(state, images)[0]
    assert jax.tree.all(
        jax.tree.map(
            lambda one, other: np.allclose(one, other, rtol=1e-6, atol=1e-7),
            after.variables,
            alone.variables,
        )
    )


def test_betas_that_are_learned_start_at_one_number_and_are_those_of_the_layers():
    hvae = chain(2)
    images = jax.ShapeDtypeStruct((5, *hvae.image_shape), jnp.uint8)
    for objective in (rate_targets, partial(rate_targets, penalty=0.1)):
        trainer = vae_trainer(
            hvae,
            objective,
            optax.sgd(0.1),
            coefficients={"targets": TARGETS, "beta": 2},
            multipliers={"beta": 1e-3},
        )
        state = trainer.init(jax.random.key(0))
        np.testing.assert_array_equal(state.coefficients["beta"], [2, 2])
        after, _, _ = jax.eval_shape(trainer.step, state, images)
        assert after.coefficients["beta"].shape == (2,)


def test_a_trainer_that_is_taken_has_members_whose_coefficients_are_its_own():
    # The targets, of which the last layer has none, are known to the objective alone.
    objective = partial(rate_targets, targets=(5.0, np.nan))
    trainer = vae_trainer(
        chain(2),
        objective,
        optax.sgd(0.1),
        coefficients={"beta": (1.0, 0.0)},
        multipliers={"beta": 1e-3},
    )
    ensemble = init_ensemble(lambda _: trainer, [Member(jax.random.key(0), 4)])
    np.testing.assert_array_equal(ensemble.states.coefficients["beta"], [[1, 0]])


@pytest.mark.slow
def test_members_of_an_ensemble_have_targets_of_their_own():
    hvae = chain(2)
    trainer = lagrangian_trainer(hvae, optax.adam(1e-2))
    images = jax.random.bits(jax.random.key(1), (32, *hvae.image_shape), jnp.uint8)
    all_targets = ((0.7, 0.3), (0.1, 2.0))
    members = [
        Member(jax.random.key(5), hvae.latents, {"targets": targets}) for targets in all_targets
    ]
    ensemble = init_ensemble(lambda latents: trainer, members)
    ensemble = train_ensemble(trainer, ensemble, images, epochs=3, batch_size=8, way="vmap")
    for index, targets in enumerate(all_targets):
        own = lagrangian_trainer(hvae, optax.adam(1e-2), targets=targets)
        single = init_ensemble(
            lambda latents, own=own: own, [Member(jax.random.key(5), hvae.latents)]
        )
        single = train_ensemble(own, single, images, epochs=3, batch_size=8)
        one, other = take_member(ensemble, index, trainer), take_member(single, 0, own)
        np.testing.assert_allclose(one.coefficients["beta"], other.coefficients["beta"], rtol=1e-5)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
            one.variables,
            other.variables,
        )


def test_a_multiplier_is_a_coefficient_without_a_schedule():
    hvae = chain(2)
    with pytest.raises(ValueError, match="multipliers among the coefficients"):
        vae_trainer(
            hvae,
            rate_targets,
            optax.sgd(0.1),
            coefficients={"targets": TARGETS},
            multipliers={"beta": 1e-3},
        )


NO_TARGET = (float("nan"), 1.0)


def learning_trainer(**coefficients):
    objective = rate_targets if "beta" in coefficients else distortion_target
    steps = {"beta" if "beta" in coefficients else "weight": 1e-3}
    return vae_trainer(
        chain(2), objective, optax.sgd(0.1), coefficients=coefficients, multipliers=steps
    )


@pytest.mark.parametrize(
    ("coefficients", "message"),
    [
        ({"targets": NO_TARGET, "beta": (1.0, 0.0)}, "beta"),
        ({"targets": NO_TARGET, "beta": (0.0, 5e3)}, "beta"),
        ({"targets": TARGETS, "beta": 0.0}, "beta"),
        ({"target": 3.0, "weight": 1e-4}, "weight"),
    ],
)
def test_a_multiplier_that_would_be_moved_into_its_bounds_is_refused(coefficients, message):
    with pytest.raises(ValueError, match=rf"{message} to start from 0\.001 to 1000 where it"):
        learning_trainer(**coefficients)


def test_the_beta_of_a_layer_without_a_target_may_be_any_and_stays():
    trainer = learning_trainer(targets=NO_TARGET, beta=(0.0, 1.0))
    images = jax.random.bits(jax.random.key(1), (5, *chain(2).image_shape), jnp.uint8)
    after, _, _ = jax.jit(trainer.step)(trainer.init(jax.random.key(0)), images)
    assert after.coefficients["beta"][0] == 0
    assert after.coefficients["beta"][1] != 1


@pytest.mark.parametrize("own", [{"beta": (1.0, 0.0)}, {"targets": TARGETS}], ids=str)
def test_a_member_with_such_a_multiplier_is_refused_too(own):
    trainer = learning_trainer(targets=NO_TARGET, beta=(0.0, 1.0))
    member = Member(jax.random.key(0), chain(2).latents, own)
    with pytest.raises(ValueError, match=r"beta to start from .* where it is learned"):
        init_ensemble(lambda latents: trainer, [member])


def test_of_one_layer_a_number_is_the_target():
    outputs = chain_outputs(1)
    one, same = (lagrangian(outputs, targets=given)[0] for given in (2.0, np.array([2.0])))
    np.testing.assert_array_equal(one, same)
