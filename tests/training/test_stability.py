"""Clipped and skipped gradients and averaged parameters, against their definitions."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvae.models import dense_vae
from jaxvae.objectives import beta_vae
from jaxvae.runs import checkpoint
from jaxvae.runs.building import build_model, build_trainer
from jaxvae.runs.config import RunConfig
from jaxvae.runs.run import latest_state, train_run
from jaxvae.training import (
    Member,
    averaged,
    averaged_params,
    evaluation_variables,
    init_ensemble,
    stabilized,
    stabilized_counts,
    take_member,
    train,
    train_ensemble,
    vae_trainer,
)

PARAMS = {
    "weights": np.array([[0.5, -1.5], [2.0, 0.25]], np.float32),
    "bias": np.array([1.0, -3.0], np.float32),
}
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1), dtype=np.uint8)
VAE = dense_vae(image_shape=(4, 4, 1), latents=2, widths=(5,))


def gradient(norm, seed=0):
    """Random numbers of this global norm, shaped as the parameters."""
    random = np.random.default_rng(seed)
    drawn = {name: random.normal(size=leaf.shape) for name, leaf in PARAMS.items()}
    size = math.sqrt(sum((leaf**2).sum() for leaf in drawn.values()))
    return {name: jnp.asarray(leaf / size * norm, jnp.float32) for name, leaf in drawn.items()}


def descend(optimizer, gradients):
    """Parameters and state after every one of the gradients."""
    update, params, state = jax.jit(optimizer.update), PARAMS, optimizer.init(PARAMS)
    steps = [(params, state)]
    for each in gradients:
        updates, state = update(each, state, params)
        params = optax.apply_updates(params, updates)
        steps.append((params, state))
    return steps


def assert_same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


# --- clipping and skipping ------------------------------------------------------------


@pytest.mark.parametrize("norm", [1e-12, 0.1, 1.9, 2.1, 1e6, 1e18])
def test_a_gradient_is_scaled_down_to_the_norm_and_never_up(norm):
    given = gradient(norm)
    optimizer = stabilized(optax.sgd(1.0), clip=2.0)
    updates, state = jax.jit(optimizer.update)(given, optimizer.init(PARAMS), PARAMS)
    exact = {name: np.asarray(leaf, np.float64) for name, leaf in given.items()}
    size = math.sqrt(sum((leaf**2).sum() for leaf in exact.values()))
    for name, leaf in exact.items():
        expected = -leaf * min(1, 2 / size)
        np.testing.assert_allclose(updates[name], expected, rtol=1e-6)
    assert (int(state.clipped), int(state.skipped)) == (norm > 2, 0)


def test_a_gradient_of_zero_is_used():
    optimizer = stabilized(optax.sgd(1.0), clip=1.0, skip=2.0)
    (_, _), (params, state) = descend(optimizer, [gradient(0.0)])
    assert_same(params, PARAMS)
    assert tuple(map(int, stabilized_counts(state))) == (0, 0)


@pytest.mark.parametrize("skip", [10.0, math.inf])
@pytest.mark.parametrize("bad", [11.0, 1e30, math.inf, -math.inf, math.nan])
def test_a_skipped_step_changes_nothing_but_its_count(bad, skip):
    wrong = gradient(1.0)
    wrong["bias"] = wrong["bias"].at[1].set(bad)
    optimizer = stabilized(averaged(optax.adam(0.1), decay=0.9), clip=2.0, skip=skip)
    steps = descend(optimizer, [gradient(1.0), gradient(3.0, seed=1), wrong])
    (before, then), (after, now) = steps[-2:]
    if bad == 11.0 and skip == math.inf:
        assert not jnp.array_equal(before["bias"], after["bias"])
        assert (int(now.clipped), int(now.skipped)) == (2, 0)
    else:
        assert_same((before, then.inner), (after, now.inner))
        assert (int(now.clipped), int(now.skipped)) == (1, 1)


def test_a_run_with_skipped_steps_is_the_run_without_them():
    good = [gradient(1.0, seed) for seed in range(4)]
    bad = gradient(100.0)
    optimizer = stabilized(optax.adam(0.1), skip=5.0)
    mixed = [good[0], bad, good[1], good[2], bad, bad, good[3]]
    (one, first), (two, second) = (descend(optimizer, each)[-1] for each in (good, mixed))
    assert_same((one, first.inner), (two, second.inner))
    assert int(second.skipped) == 3


def test_without_limits_it_is_the_optimizer():
    gradients = [gradient(10.0**size, size) for size in range(4)]
    plain = descend(optax.adam(0.1), gradients)[-1][0]
    assert_same(descend(stabilized(optax.adam(0.1)), gradients)[-1][0], plain)


# --- averaging ------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.9999])
def test_an_average_is_that_of_its_definition_after_every_update(decay):
    optimizer = averaged(optax.adam(0.3), decay=decay)
    steps = descend(optimizer, [gradient(1.0, seed) for seed in range(30)])
    trajectory = [params for params, _ in steps[1:]]
    for count, (_, state) in enumerate(steps[1:], start=1):
        weights = np.array([decay ** (count - index) for index in range(1, count + 1)])
        for name, actual in averaged_params(state).items():
            past = np.array([np.asarray(each[name], np.float64) for each in trajectory[:count]])
            expected = np.tensordot(weights / weights.sum(), past, axes=1)
            # So many float32 sums of numbers up to 4, each rounded by 2^-24 of itself.
            np.testing.assert_allclose(actual, expected, rtol=0, atol=count * 4 * 2.0**-23)


def test_an_average_before_any_update_is_the_parameters():
    assert_same(averaged_params(averaged(optax.sgd(1.0), decay=0.9).init(PARAMS)), PARAMS)


def test_parameters_that_stand_still_are_their_average():
    optimizer = averaged(optax.sgd(0.0), decay=0.99)
    assert_same(averaged_params(descend(optimizer, [gradient(1.0)] * 5)[-1][1]), PARAMS)


def test_averaging_does_not_change_the_run():
    gradients = [gradient(1.0, seed) for seed in range(5)]
    plain = descend(optax.adam(0.1), gradients)[-1][0]
    assert_same(descend(averaged(optax.adam(0.1), decay=0.9), gradients)[-1][0], plain)


def test_an_average_is_found_in_any_state_and_absent_without():
    inside = optax.chain(optax.identity(), averaged(optax.sgd(1.0), decay=0.9))
    assert_same(averaged_params(stabilized(inside, clip=1.0).init(PARAMS)), PARAMS)
    assert averaged_params(optax.adam(1.0).init(PARAMS)) is None
    assert stabilized_counts(optax.adam(1.0).init(PARAMS)) is None


@pytest.mark.slow
def test_what_is_evaluated_is_the_average_where_there_is_one():
    for optimizer in (optax.sgd(0.1), averaged(optax.sgd(0.1), decay=0.9)):
        trainer = vae_trainer(VAE, beta_vae, optimizer)
        state = trainer.init(jax.random.key(0))
        for _ in range(2):
            state, _, _ = jax.jit(trainer.step)(state, IMAGES[:8])
        variables, average = evaluation_variables(state), averaged_params(state.optimizer_state)
        assert_same(variables.params, state.variables.params if average is None else average)
        assert_same(variables.statistics, state.variables.statistics)
    moved = jax.tree.map(jnp.array_equal, variables.params, state.variables.params)
    assert not jax.tree.all(moved)


# --- ensembles ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("way", ["vmap", "map"])
def test_members_are_clipped_skipped_and_averaged_as_if_alone(way):
    adam = optax.inject_hyperparams(optax.adam)(learning_rate=1e-2)
    optimizer = stabilized(averaged(adam, decay=0.8), clip=2.2, skip=200.0)
    trainer = vae_trainer(VAE, beta_vae, optimizer, coefficients={"beta": 1.0})
    members = [
        Member(jax.random.key(0), 2),
        # Every gradient of the second is skipped; the third has a rate of its own.
        Member(jax.random.key(1), 2, {"beta": 1e4}),
        Member(jax.random.key(2), 2, learning_rate=3e-2),
    ]
    start = init_ensemble(lambda latents: trainer, members)
    ensemble = train_ensemble(trainer, start, IMAGES, epochs=2, batch_size=8, way=way)
    counts = []
    for index in range(3):
        alone = take_member(start, index, trainer)
        alone = train(trainer, alone, IMAGES, epochs=2, batch_size=8)
        state = take_member(ensemble, index, trainer)
        counts.append(tuple(map(int, stabilized_counts(state.optimizer_state))))
        assert counts[-1] == tuple(map(int, stabilized_counts(alone.optimizer_state)))
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-3, atol=2e-4),
            (state.variables, evaluation_variables(state)),
            (alone.variables, evaluation_variables(alone)),
        )
    assert counts[1] == (0, 10)
    assert 0 < counts[0][0] < 10


# --- runs -----------------------------------------------------------------------------

CONFIG = RunConfig(
    network="dense_vae", options={"widths": [5]}, latents=2, learning_rate=1e-2,
    clip=30.0, skip=1e4, average=0.9, warmup=4,
)  # fmt: skip


def run_of(**settings):
    model = build_model(CONFIG, (4, 4, 1))
    return build_trainer(RunConfig(**vars(CONFIG) | settings), model, dataset_size=len(IMAGES))


@pytest.mark.slow
def test_warm_up_is_that_of_a_scheduled_learning_rate():
    rate = optax.linear_schedule(0.0, 1e-2, 4)
    expected = vae_trainer(build_model(CONFIG, (4, 4, 1)), beta_vae, optax.adam(rate))
    actual = run_of(clip=None, skip=None, average=None)
    states = [jax.jit(each.init)(jax.random.key(0)) for each in (actual, expected)]
    one, other = (
        train(trainer, state, IMAGES, epochs=2, batch_size=8)
        for trainer, state in zip((actual, expected), states, strict=True)
    )
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5),
        one.variables.params,
        other.variables.params,
    )


@pytest.mark.slow
def test_members_keep_their_own_learning_rate_in_a_run_with_everything():
    trainer = run_of()
    members = [Member(jax.random.key(0), 2, learning_rate=rate) for rate in (None, 1e-12)]
    start = init_ensemble(lambda latents: trainer, members)
    ensemble = train_ensemble(trainer, start, IMAGES, epochs=1, batch_size=8)
    moved, still = (
        max(
            float(jnp.abs(one - other).max())
            for one, other in zip(
                jax.tree.leaves(take_member(ensemble, index, trainer).variables),
                jax.tree.leaves(take_member(start, index, trainer).variables),
                strict=True,
            )
        )
        for index in range(2)
    )
    assert moved > 1e-3
    assert still < 1e-9


@pytest.mark.slow
def test_a_run_keeps_averages_as_its_snapshots_and_goes_on_from_the_rest(tmp_path):
    trainer, key = run_of(), jax.random.key(0)

    def go(folder, epochs):
        state = latest_state(trainer, folder, partial(trainer.init, key))
        return train_run(trainer, state, IMAGES, folder=folder, epochs=epochs, batch_size=8)

    go(tmp_path / "one", 1)
    resumed, whole = go(tmp_path / "one", 3), go(tmp_path / "other", 3)
    average = evaluation_variables(whole)
    assert_same(resumed.variables, whole.variables)
    assert_same(evaluation_variables(resumed), average)
    assert_same(checkpoint.load(tmp_path / "one" / "snapshots", 15, average), average)
    moved = jax.tree.map(jnp.array_equal, average.params, whole.variables.params)
    assert not jax.tree.all(moved)


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [0.0, -1.0, math.nan])
def test_norms_that_are_not_positive_are_refused(norm):
    with pytest.raises(ValueError, match=f"expected a positive clip, got {norm}"):
        stabilized(optax.sgd(1.0), clip=norm)
    with pytest.raises(ValueError, match=f"expected a positive skip .* got {norm}"):
        stabilized(optax.sgd(1.0), skip=norm)


def test_a_skip_below_the_clip_is_refused():
    with pytest.raises(ValueError, match=r"of at least clip 2\.0, got 1\.0"):
        stabilized(optax.sgd(1.0), clip=2.0, skip=1.0)


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, math.nan])
def test_decays_outside_of_0_to_1_are_refused(decay):
    with pytest.raises(ValueError, match=f"expected a decay between 0 and 1, got {decay}"):
        averaged(optax.sgd(1.0), decay=decay)


def test_an_update_without_parameters_cannot_be_averaged():
    optimizer = averaged(optax.sgd(1.0), decay=0.9)
    with pytest.raises(ValueError, match="expected the parameters to average, got None"):
        optimizer.update(gradient(1.0), optimizer.init(PARAMS))


def test_a_run_with_settings_out_of_range_is_refused():
    for settings, message in (
        ({"clip": -1.0}, "clip finite and positive, got -1.0"),
        ({"skip": 1.0}, "of at least clip 30.0, got 1.0"),
        ({"average": 1.5}, "between 0 and 1, got 1.5"),
        ({"warmup": -1}, "warmup of at least 1, got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            run_of(**settings)
